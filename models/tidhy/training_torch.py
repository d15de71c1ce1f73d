"""TiDHy's outer training, torch: the plain sum of losses, its regularisers, AdamW in three groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import LRScheduler, StepLR

if TYPE_CHECKING:
    from torch import Tensor

    from models.tidhy.torch import TiDHy
    from models.tidhy.training_config import TrainingConfig


def optimiser(model: TiDHy, training: TrainingConfig) -> AdamW:
    """AdamW over decoder, dynamics and hypernetwork, each with its own step size.

    Args:
      model: the model; its R2 decoder, if any, is left out, as in the original.
      training: the step sizes.

    Returns:
      The optimiser.

    References:
      Loshchilov & Hutter, Decoupled weight decay regularization, 2019.
    """
    dynamics = [model.temporal, *([model.temporal_bias] if model.config.dyn_bias else [])]
    groups = [
        {"params": list(model.spatial_decoder.parameters()), "lr": training.learning_rate_s},
        {"params": dynamics, "lr": training.learning_rate_t},
        {"params": list(model.hypernet.parameters()), "lr": training.learning_rate_h},
    ]
    return AdamW(groups, betas=(0.9, 0.999), eps=1e-8, weight_decay=model.config.weight_decay)


def schedule(steps: AdamW, training: TrainingConfig) -> LRScheduler | None:
    """Halves every step size each `halve_every` updates; None for never."""
    return StepLR(steps, step_size=training.halve_every, gamma=0.5) if training.halve_every else None


def training_step(
    model: TiDHy, steps: AdamW, halvings: LRScheduler | None, X: Tensor, training: TrainingConfig
) -> Tensor:
    """One update of the parameters on one batch.

    Args:
      model: the model, updated in place.
      steps: its `optimiser`.
      halvings: its `schedule`.
      X: (B, T, D) batch.
      training: the options.

    Returns:
      The loss () before the update, detached.
    """
    steps.zero_grad()
    loss = training_loss(model, X, training)
    torch.autograd.backward(loss)
    steps.step()
    if halvings is not None:
        halvings.step()
    if training.L0_alpha:
        _drop_small(model.temporal)
    model.normalize()
    return loss.detach()


def training_loss(model: TiDHy, X: Tensor, training: TrainingConfig) -> Tensor:
    """Plain sum of the losses of `forward` and of the active regularisers: (B, T, D) → ()."""
    rhat, rbar, temp, r2_losses, _, _ = model(X)
    return rhat + rbar + temp + r2_losses + penalty(model, training)


def penalty(model: TiDHy, training: TrainingConfig) -> Tensor:
    """Weighted sum of the active regularisers.

    The similarity of components, weighted by `cos_eta`, is always active: the sum of the magnitudes of the
    cosines of all pairs of components, each pair once, divided by M; with `low_rank_temp` the pairs are those
    of the R 2-vectors within each component.

    Args:
      model: the model.
      training: the weights of those that are not the model's own.

    Returns:
      The penalty ().
    """
    c, temporal = model.config, model.temporal
    decoder = model.get_parameter("spatial_decoder.0.weight")  # (out, R)
    first = model.get_parameter("hypernet.0.weight")  # (H, Q)
    total = c.cos_eta * _similarity(temporal) / c.mix_dim
    if training.Lnuc_alpha:
        total = total + training.Lnuc_alpha * torch.linalg.matrix_norm(_components(model), "nuc").sum()
    if training.L0_alpha:
        total = total + c.L1_alpha * torch.count_nonzero(temporal)
    if c.L1_alpha:
        total = total + c.L1_alpha * temporal.abs().sum()
    if training.L1_alpha_W:
        total = total + training.L1_alpha_W * model.get_parameter("hypernet.4.weight").abs().sum()
    if training.L1_alpha_spat:
        total = total + training.L1_alpha_spat * decoder.abs().sum()
    if training.Orth_alpha_spat:
        excess = decoder.T @ decoder - torch.eye(decoder.shape[1]).to(decoder)
        total = total + training.Orth_alpha_spat * (excess**2).mean()
    if training.Orth_alpha_r2:
        total = total + training.Orth_alpha_r2 * _similarity(first.T) / c.r2_dim
    return total


def _similarity(vectors: Tensor) -> Tensor:
    """Sum of |cosine| over all pairs of rows (..., n, k), each pair once."""
    units = functional.normalize(vectors, dim=-1, eps=1e-8)
    return torch.triu((units @ units.mT).abs(), diagonal=1).sum()


def _components(model: TiDHy) -> Tensor:
    """The matrices (M, R, R) that `temporal` stands for."""
    c = model.config
    slabs = model.temporal.reshape(c.mix_dim, c.r_dim, -1)
    return slabs @ slabs.mT if c.low_rank_temp else slabs


@torch.no_grad()
def _drop_small(temporal: Tensor) -> None:
    temporal[temporal.abs() < 1e-4] = 0.0
