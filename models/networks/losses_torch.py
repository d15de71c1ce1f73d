"""Classification and image losses, torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks.shape_checks import refuse_axes, refuse_unlike
from models.networks.softmax_torch import log_softmax, logsumexp_without, softmax


def _at_target(name: str, values: Tensor, target: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the target's entry along `dim` (axis kept), and which entries these are."""
    expected = values.select(dim, 0).shape
    if target.shape != expected:
        raise ValueError(
            f"{name}: the target's shape must be the logits' without the class axis {dim}, "
            f"{tuple(expected)}, got {tuple(target.shape)}"
        )
    classes = values.shape[dim]
    if ((target < 0) | (target >= classes)).any():
        raise ValueError(f"{name}: targets must lie in 0 … {classes - 1}, the classes of axis {dim}")
    index = target.long().unsqueeze(dim)
    return values.gather(dim, index), torch.zeros_like(values, dtype=torch.bool).scatter(dim, index, True)


def cross_entropy(logits: Tensor, target: Tensor, dim: int = -1) -> Tensor:
    """Cross entropy of class indices, exact for confident predictions, without a reduction.

    With the gaps d_j = z_j − z_t it is softplus(log Σ_{j≠t} exp d_j).

    Args:
        logits: Float, classes on axis `dim`.
        target: Integer, the logits' shape without that axis.
        dim: Axis of the classes.

    Returns:
        One value per target.

    Raises:
        ValueError: The shapes do not fit, or a target is no class.

    Example:
        >>> cross_entropy(torch.tensor([[50.0, 0.0]]), torch.tensor([0]))
        tensor([1.9287e-22])
    """
    dim = dim % logits.ndim
    at_target, is_target = _at_target("cross_entropy", logits, target, dim)
    return F.softplus(logsumexp_without(logits - at_target, is_target, dim))


def soft_target_cross_entropy(logits: Tensor, target_logits: Tensor, dim: int = -1) -> Tensor:
    """Cross entropy of a student against soft targets, without a reduction.

    The value is −Σ p·log q with the target's p and the student's q. The student's gradient q − p is
    computed from the difference of the logits, so that it keeps its digits when the two nearly agree.

    Args:
        logits: The student's logits, classes on axis `dim`.
        target_logits: The target's, same shape.
        dim: Axis of the classes.

    Returns:
        The logits' shape without that axis.

    Example:
        >>> soft_target_cross_entropy(torch.zeros(3, 2), torch.zeros(3, 2))
        tensor([0.6931, 0.6931, 0.6931])
    """
    p = softmax(target_logits, dim)
    value = -(p * log_softmax(logits, dim).detach()).sum(dim)
    gradient = _student_gradient(logits.detach(), target_logits.detach(), dim)
    return value + (gradient * (logits - logits.detach())).sum(dim)


def _student_gradient(logits: Tensor, target_logits: Tensor, dim: int) -> Tensor:
    """Return q − p without subtracting near equals: u − q·Σu with u = p·expm1(log(q/p))."""
    p, q = softmax(target_logits, dim), softmax(logits, dim)
    gap = logits - target_logits
    centred = gap - (p * gap).sum(dim, keepdim=True)
    log_ratio = centred - torch.log1p((p * torch.expm1(centred)).sum(dim, keepdim=True))
    u = p * torch.expm1(log_ratio)
    return u - q * u.sum(dim, keepdim=True)


def focal_loss(prediction: Tensor, target: Tensor, gamma: float = 2.0, sum_dim: int = -1) -> Tensor:
    """Focal loss over classes: −(1 − p_t)^gamma · log p_t, mean over axis 0, sum over all others.

    Args:
        prediction: Logits: (B, K) or (B, T, K) with `sum_dim` −1, (B, K, H, W) with −3.
        target: Class indices: (B,), (B, T) or (B, 1, H, W).
        gamma: Focus on the hard samples; 0 is the cross entropy.
        sum_dim: Axis of the classes, counted after a new axis 1 was inserted: prefer negative numbers.

    Returns:
        Scalar.

    Raises:
        ValueError: The shapes do not fit, a target is no class, or there is no such axis.

    Example:
        >>> focal_loss(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
        tensor(0.1733)

    References:
        Lin et al., 2017: Focal loss for dense object detection.
    """
    refuse_axes("focal_loss", sum_dim, prediction.ndim + 1)
    logits = prediction.unsqueeze(1).transpose(1, sum_dim).squeeze(-1)  # (B, K, *)
    if gamma == 0:
        loss = cross_entropy(logits, target, dim=1)
    else:
        log_pt, _ = _at_target("focal_loss", log_softmax(logits, dim=1), target, 1)
        loss = -((1 - log_pt.exp()) ** gamma) * log_pt
    return loss.mean(0).sum()


def binary_focal_loss(prediction: Tensor, target: Tensor, gamma: float = 2.0, sum_dim: int = -1) -> Tensor:
    """Focal loss of independent bits, summed over one axis.

    Args:
        prediction: Logits, any shape.
        target: Same shape; values other than 1 count as 0 unless `gamma` is 0, which takes soft targets.
        gamma: Focus on the hard bits; 0 is the binary cross entropy.
        sum_dim: Axis to sum over.

    Returns:
        The prediction's shape without that axis.

    Raises:
        ValueError: The shapes do not fit, or there is no such axis.

    Example:
        >>> binary_focal_loss(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]]))
        tensor([0.3466])
    """
    refuse_unlike("binary_focal_loss", tuple(prediction.shape), tuple(target.shape))
    refuse_axes("binary_focal_loss", sum_dim, prediction.ndim)
    if gamma == 0:
        loss = (1 - target) * prediction - F.logsigmoid(prediction)
    else:
        is_one = target == 1
        signed = torch.where(is_one, prediction, -prediction)
        p = torch.sigmoid(prediction)
        loss = -(torch.where(is_one, 1 - p, p) ** gamma) * F.logsigmoid(signed)
    return loss.sum(sum_dim)


def charbonnier(
    prediction: Tensor,
    target: Tensor,
    epsilon: float = 1e-3,
    alpha: float = 1,
    sum_dim: int | Sequence[int] | None = None,
) -> Tensor:
    """Smooth absolute difference: Σ ((x − y)² + epsilon²)^(alpha/2).

    Args:
        prediction: x, any shape.
        target: y, same shape.
        epsilon: Width of the rounded tip.
        alpha: Power of the difference.
        sum_dim: Axes to sum over; None stands for the last three.

    Returns:
        The prediction's shape without those axes.

    Raises:
        ValueError: The shapes do not fit, or there is no such axis.

    Example:
        >>> charbonnier(torch.zeros(2, 1, 3, 5), torch.ones(2, 1, 3, 5))
        tensor([15.0000, 15.0000])
    """
    axes = (-3, -2, -1) if sum_dim is None else sum_dim if isinstance(sum_dim, int) else tuple(sum_dim)
    refuse_unlike("charbonnier", tuple(prediction.shape), tuple(target.shape))
    refuse_axes("charbonnier", axes, prediction.ndim)
    return ((prediction - target).square() + epsilon**2).pow(alpha / 2).sum(axes)
