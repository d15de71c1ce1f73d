"""TiDHy's outer training, torch: the sum or the balance of losses and regularisers, AdamW in three groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from torch.optim.lr_scheduler import LRScheduler, StepLR

from models.tidhy.balance_torch import Balance
from models.tidhy.penalties_torch import penalties
from models.tidhy.training_config import balanced_groups, check_started

if TYPE_CHECKING:
    from torch import Tensor

    from models.tidhy.torch import TiDHy
    from models.tidhy.training_config import TrainingConfig


@dataclass(frozen=True)
class Optimiser:
    """What updates the parameters, itself updated by each step.

    Attributes:
      steps: AdamW.
      halvings: of its step sizes; None for never.
      balance: of the losses; None for their plain sum.
    """

    steps: AdamW
    halvings: LRScheduler | None
    balance: Balance | None


def optimiser(model: TiDHy, training: TrainingConfig) -> Optimiser:
    """AdamW over decoder, dynamics and hypernetwork, each with its own step size; and what the options add to it.

    Args:
      model: the model; its R2 decoder, if any, is left out, as in the original.
      training: the options.

    Returns:
      The optimiser, which serves `training_step` batch after batch.

    References:
      Loshchilov & Hutter, Decoupled weight decay regularization, 2019.
    """
    c = model.config
    dynamics = [model.temporal, *([model.temporal_bias] if c.dyn_bias else [])]
    groups = [
        {"params": list(model.spatial_decoder.parameters()), "lr": training.learning_rate_s},
        {"params": dynamics, "lr": training.learning_rate_t},
        {"params": list(model.hypernet.parameters()), "lr": training.learning_rate_h},
    ]
    steps = AdamW(groups, betas=(0.9, 0.999), eps=1e-8, weight_decay=c.weight_decay)
    halvings = StepLR(steps, step_size=training.halve_every, gamma=0.5) if training.halve_every else None
    balance = None
    if training.grad_norm:
        count = len(balanced_groups(c, training))
        balance = Balance(count, alpha=c.grad_alpha, lr=c.lr_weights, decay=c.weight_decay)
    return Optimiser(steps, halvings, balance)


def training_step(model: TiDHy, updates: Optimiser, X: Tensor, training: TrainingConfig) -> Tensor:
    """One update of the parameters on one batch.

    Args:
      model: the model, updated in place.
      updates: its `optimiser`, updated in place.
      X: (B, T, D) batch.
      training: the options.

    Returns:
      The loss () before the update, detached: the plain sum, or with `grad_norm` the weighted one.

    Raises:
      ValueError: if the optimiser was made with another `grad_norm`.
    """
    check_started(training, balanced=updates.balance is not None)
    model.zero_grad()
    if updates.balance is None:
        loss = training_loss(model, X, training)
        torch.autograd.backward(loss)
    else:
        loss = _backward_balanced(model, updates.balance, X, training)
    clip_grad_norm_(model.parameters(), model.config.clip_grad)
    updates.steps.step()
    if updates.halvings is not None:
        updates.halvings.step()
    if training.L0_alpha:
        _drop_small(model.temporal)
    model.normalize()
    return loss.detach()


def training_loss(model: TiDHy, X: Tensor, training: TrainingConfig) -> Tensor:
    """Plain sum of the losses of `forward` and of the active regularisers: (B, T, D) → ()."""
    rhat, rbar, temp, r2_losses, _, _ = model(X)
    return rhat + rbar + temp + r2_losses + sum(penalties(model, training))


def balanced_losses(model: TiDHy, X: Tensor, training: TrainingConfig) -> Tensor:
    """The losses that `grad_norm` balances, each with the active regularisers.

    The similarity of components belongs to the temporal loss alone, that of the hypernetwork's columns to the
    last loss alone; the hypernetwork's L1 norm belongs to none. The original cannot train the R2 decoder: there
    its loss is taken to be one more, treated like the others.

    Args:
      model: the model.
      X: (B, T, D) batch.
      training: the options.

    Returns:
      (3,) losses of r̂, of r̄ and of the temporal prediction; (4,) with that of the R2 decoder.
    """
    rhat, rbar, temp, r2_losses, _, _ = model(X)
    cosine, first, _, others = penalties(model, training)
    losses = [rhat, rbar, temp + cosine, *([r2_losses] if model.config.use_r2_decoder else [])]
    losses[-1] = losses[-1] + first
    return torch.stack(losses) + others


def _backward_balanced(model: TiDHy, balance: Balance, X: Tensor, training: TrainingConfig) -> Tensor:
    """Fills the parameters' gradients, moves the balance on, and returns the weighted loss () before that."""
    losses = balanced_losses(model, X, training)
    loss = balance.weights.to(losses) @ losses.detach()
    named = dict(model.named_parameters())
    groups = [
        [value for name, value in named.items() if name.split(".")[0] in group]
        for group in balanced_groups(model.config, training)
    ]
    gradients = balance.gradients(losses, groups, list(named.values()))
    for value, gradient in zip(named.values(), gradients, strict=True):
        value.grad = gradient
    return loss


@torch.no_grad()
def _drop_small(temporal: Tensor) -> None:
    temporal[temporal.abs() < 1e-4] = 0.0
