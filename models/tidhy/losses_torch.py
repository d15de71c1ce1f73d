"""TiDHy's losses and reductions, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def elementwise_loss(loss: str, p: Tensor, y: Tensor) -> Tensor:
    """Loss of each entry.

    MSE (p−y)²; Poisson p − y·log p, with neither floor nor constant; BCE with each logarithm floored at −100.

    Args:
      loss: `"MSE"`, `"BCE"` or `"Poisson"`.
      p: (..., D) predictions.
      y: (..., D) observations.

    Returns:
      (..., D) losses.

    Raises:
      RuntimeError: BCE, if a prediction or an observation lies outside [0, 1].

    Example:
      >>> elementwise_loss("MSE", torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]))
      tensor([1., 4.])
    """
    if loss == "BCE":
        return functional.binary_cross_entropy(p, y, reduction="none")
    if loss == "Poisson":
        return p - y * torch.log(p)
    return (p - y) ** 2


def reduced(losses: Tensor) -> Tensor:
    """Sum over the features, then mean over the batch: (B, k) → ()."""
    return losses.sum(dim=-1).mean(dim=0)


def l1(values: Tensor) -> Tensor:
    """Sum of magnitudes over all entries, batch included; its derivative at 0 is 0."""
    return values.abs().sum()


def soft_threshold(values: Tensor, threshold: float) -> Tensor:
    """Moves each entry towards 0 by the threshold, at most to 0: sign(v)·max(|v|−λ, 0)."""
    return torch.sign(values) * torch.clamp(values.abs() - threshold, min=0.0)
