"""The balance of several losses by the norms of their gradients, torch: of inference and of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim import AdamW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Balance:
    """Weights of some losses, adapted so that their gradients keep comparable norms.

    Args:
      count: number n of losses.
      alpha: strength of the balance.
      lr: step size of the weights.
      decay: weight decay of the weights.

    Attributes:
      weights: (n,) current weights, 1 at first; each step keeps their sum.
      first_losses: (n,) losses at the first step, zeros replaced; None before it.

    References:
      Chen et al., GradNorm: gradient normalization for adaptive loss balancing, 2018.
    """

    def __init__(self, count: int, *, alpha: float, lr: float, decay: float) -> None:
        self.alpha = alpha
        self.lr = lr
        self.decay = decay
        self.weights = torch.ones(count)
        self.first_losses: Tensor | None = None

    def gradients(
        self, losses: Tensor, groups: Sequence[Sequence[Tensor]], values: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Gradients to descend along in this step; the weights move on.

        They are those of the weighted losses plus those of the imbalance itself, which hold second
        derivatives of the losses: the original accumulates both in the same buffers.

        Args:
          losses: (n,) losses, attached to the graph.
          groups: for each loss, the tensors whose gradients' norms, summed, say how strong it is.
          values: what both are differentiated by.

        Returns:
          A gradient for each of `values`.
        """
        if self.first_losses is None:
            losses = torch.where(losses == 0, torch.full_like(losses, 1e-6), losses)
            self.first_losses = losses.detach()
            self.weights = self.weights.to(losses)
        weights = self.weights.clone().requires_grad_()
        weighted = weights * losses
        primary = torch.autograd.grad(weighted.sum(), values, retain_graph=True, materialize_grads=True)
        norms = torch.stack([_gradient_norm(weighted[k], group) for k, group in enumerate(groups)])
        progress = losses.detach() / self.first_losses
        pace = progress / progress.mean()
        target = norms.detach().mean() * pace**self.alpha
        imbalance = (norms - target).abs().sum()
        slope, *second = torch.autograd.grad(imbalance, (weights, *values), materialize_grads=True)
        self._step(weights, slope)
        return tuple(a + b for a, b in zip(primary, second, strict=True))

    def _step(self, weights: Tensor, slope: Tensor) -> None:
        """One step of a new AdamW, then a softmax scaled to the old sum; both as in the original."""
        total = weights.detach().sum()
        weights.grad = slope
        AdamW([weights], lr=self.lr, weight_decay=self.decay, eps=1e-8).step()
        self.weights = total * torch.softmax(weights.detach(), dim=0)


def _gradient_norm(loss: Tensor, group: Sequence[Tensor]) -> Tensor:
    """Sum of the norms of the loss's gradients, one per tensor, differentiable; at zero its derivative is 0."""
    gradients = torch.autograd.grad(loss, group, create_graph=True, materialize_grads=True)
    return torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]).sum()
