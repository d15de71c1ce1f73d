"""Every random draw of the sampling functions, torch: the one place to replace in order to share noise."""

from __future__ import annotations

import torch
from torch import Tensor


def standard_normal(like: Tensor) -> Tensor:
    """Draw ε ~ N(0, 1) in the shape, dtype and device of `like`."""
    return torch.normal(torch.zeros_like(like), torch.ones_like(like))


def gumbel(like: Tensor) -> Tensor:
    """Draw standard Gumbel noise in the shape of `like`: −log of an Exponential(1) sample."""
    return -torch.empty_like(like).exponential_().log()


def one_hot(probs: Tensor) -> Tensor:
    """Draw one class per row.

    Args:
        probs: Probabilities (*, K), float; rows need not sum to 1 exactly.

    Returns:
        One-hot rows (*, K) in the dtype of `probs`.
    """
    rows = probs.detach().reshape(-1, probs.shape[-1])
    classes = torch.multinomial(rows, 1, replacement=True).reshape(probs.shape[:-1])
    return torch.nn.functional.one_hot(classes, probs.shape[-1]).to(probs)


def bits(probs: Tensor) -> Tensor:
    """Draw 1 with the given probabilities, else 0, in their shape and dtype."""
    return torch.bernoulli(probs.detach())
