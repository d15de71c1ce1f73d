"""Softmax that stays exact at the largest entry, torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks import draws_torch


def log_softmax(inputs: Tensor, dim: int = -1, temperature: float = 1.0) -> Tensor:
    """Log-softmax that tells a probability of 1 − 1e-17 from 1.

    With the gaps s_j = z_j − max z, exactly 0 at the largest entry i, it is s_j − log1p(Σ_{j≠i} exp s_j),
    which loses nothing when the sum is far below 1.

    Args:
        inputs: Logits, any shape.
        dim: Axis of the classes.
        temperature: Divides the logits.

    Returns:
        Log-probabilities in the shape of the inputs.

    Example:
        >>> log_softmax(torch.tensor([0.0, -50.0]))
        tensor([-1.9287e-22, -5.0000e+01])
    """
    z = inputs / temperature
    largest = z.argmax(dim, keepdim=True)
    top = torch.zeros_like(z, dtype=torch.bool).scatter(dim, largest, True)
    gap = (z - z.gather(dim, largest)).masked_fill(top, 0)
    return gap - torch.log1p(torch.exp(gap).masked_fill(top, 0).sum(dim, keepdim=True))


def _finite(name: str, probs: Tensor) -> Tensor:
    if not torch.isfinite(probs).all():
        raise ValueError(
            f"{name}: the result holds NaN or inf; expected logits without NaN, "
            "with at most one +inf and not all −inf along the axis"
        )
    return probs


def softmax(inputs: Tensor, dim: int = -1, temperature: float = 1.0) -> Tensor:
    """Exponential of `log_softmax`.

    Args:
        inputs: Logits, any shape.
        dim: Axis of the classes.
        temperature: Divides the logits.

    Returns:
        Probabilities in the shape of the inputs.

    Raises:
        ValueError: The result holds NaN or inf.

    Example:
        >>> softmax(torch.tensor([1.0, 1.0]))
        tensor([0.5000, 0.5000])
    """
    return _finite("softmax", torch.exp(log_softmax(inputs, dim, temperature)))


def gumbel_softmax(inputs: Tensor, dim: int, temperature: float = 1.0, *, noise: Tensor | None = None) -> Tensor:
    """Sample one-hot vectors with the gradient of a softmax (straight through).

    Args:
        inputs: Logits, any shape.
        dim: Axis of the classes.
        temperature: Divides the noisy logits.
        noise: Gumbel noise in the shape of the inputs, in place of a draw.

    Returns:
        One-hot samples in the shape of the inputs.

    Raises:
        ValueError: The soft sample holds NaN or inf.

    References:
        Jang et al., 2017: Categorical reparameterization with Gumbel-softmax.
    """
    noise = draws_torch.gumbel(inputs) if noise is None else noise
    soft = _finite("gumbel_softmax", torch.exp(log_softmax(inputs + noise, dim, temperature)))
    hard = F.one_hot(soft.argmax(dim), soft.shape[dim]).movedim(-1, dim).to(soft.dtype)
    return (hard - soft.detach()) + soft


def logsumexp_without(inputs: Tensor, excluded: Tensor, dim: int) -> Tensor:
    """Sum exponentials of the entries that are not excluded, and take the logarithm.

    Args:
        inputs: Any shape.
        excluded: Bool, same shape.
        dim: Axis to sum over.

    Returns:
        The inputs' shape without that axis; −inf, with gradient 0, where nothing is left.

    Example:
        >>> logsumexp_without(torch.tensor([0.0, 3.0]), torch.tensor([True, False]), dim=0)
        tensor(3.)
    """
    left = inputs.masked_fill(excluded, -torch.inf)
    largest = left.detach().amax(dim, keepdim=True)
    largest = largest.masked_fill(largest.isneginf(), 0)
    total = torch.exp(left - largest).sum(dim)
    empty = total == 0
    return (total.masked_fill(empty, 1).log() + largest.squeeze(dim)).masked_fill(empty, -torch.inf)
