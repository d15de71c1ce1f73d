"""The balanced inner step of `grad_norm_inf`, torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import AdamW


class Balance:
    """Weights of the inference objectives, adapted so that their gradients keep comparable norms.

    The objectives are the spatial loss, and the temporal loss twice: once seen from r, once from r2. One
    object serves one inference call; its weights start at 1.

    Attributes:
      weights: (3,) current weights.
      history: the weights after each iteration.
      first_losses: (3,) losses of the first iteration, zeros replaced; None before it.

    References:
      Chen et al., GradNorm: gradient normalization for adaptive loss balancing, 2018.
    """

    def __init__(self, alpha: float, lr: float) -> None:
        self.alpha = alpha
        self.lr = lr
        self.weights = torch.ones(3)
        self.history: list[Tensor] = []
        self.first_losses: Tensor | None = None

    def gradients(self, spatial: Tensor, temporal: Tensor, r: Tensor, r2: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients for r and r2 in this iteration; the weights move on.

        They are those of the weighted losses plus those of the imbalance itself, which hold second
        derivatives of the losses: the original accumulates both in the same buffers.

        Args:
          spatial: () spatial loss.
          temporal: () temporal loss.
          r: (B, R) iterate that both losses depend on.
          r2: (B, Q) iterate that the temporal loss depends on.

        Returns:
          The gradients, (B, R) and (B, Q).
        """
        losses = torch.stack([spatial, temporal, temporal])
        if self.first_losses is None:
            losses = torch.where(losses == 0, torch.full_like(losses, 1e-6), losses)
            self.first_losses = losses.detach()
            self.weights = self.weights.to(losses)
        weights = self.weights.clone().requires_grad_()
        weighted = weights * losses
        a_r, a_r2 = torch.autograd.grad(weighted.sum(), (r, r2), retain_graph=True)
        norms = torch.stack([_gradient_norm(weighted[k], latent) for k, latent in enumerate((r, r, r2))])
        progress = losses.detach() / self.first_losses
        pace = progress / progress.mean()
        target = norms.detach().mean() * pace**self.alpha
        imbalance = (norms - target).abs().sum()
        slope, b_r, b_r2 = torch.autograd.grad(imbalance, (weights, r, r2))
        self._step(weights, slope)
        return a_r + b_r, a_r2 + b_r2

    def _step(self, weights: Tensor, slope: Tensor) -> None:
        """One step of a new AdamW, then a softmax scaled to the old sum; both as in the original."""
        total = weights.detach().sum()
        weights.grad = slope
        AdamW([weights], lr=self.lr, weight_decay=0.01, eps=1e-8).step()
        self.weights = total * torch.softmax(weights.detach(), dim=0)
        self.history.append(self.weights)


def _gradient_norm(loss: Tensor, latent: Tensor) -> Tensor:
    """Norm of the loss's gradient over the whole batch, differentiable; at zero its derivative is 0."""
    (gradient,) = torch.autograd.grad(loss, latent, create_graph=True)
    return torch.linalg.vector_norm(gradient)
