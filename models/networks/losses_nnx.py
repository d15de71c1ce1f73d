"""Classification and image losses, JAX."""

from __future__ import annotations

from collections.abc import Sequence

import jax
from jax import Array
from jax import numpy as jnp
from jax.lax import stop_gradient

from models.networks.pointwise_nnx import logsigmoid, softplus
from models.networks.shape_checks import refuse_axes, refuse_unlike
from models.networks.softmax_nnx import log_softmax, logsumexp_without, softmax
from models.networks.value_checks_nnx import is_concrete


def _at_target(name: str, values: Array, target: Array, axis: int) -> tuple[Array, Array]:
    """Return the target's entry along `axis` (axis kept), and which entries these are."""
    expected = values.shape[:axis] + values.shape[axis + 1 :]
    if target.shape != expected:
        raise ValueError(
            f"{name}: the target's shape must be the logits' without the class axis {axis}, "
            f"{expected}, got {target.shape}"
        )
    classes = values.shape[axis]
    if is_concrete(target) and ((target < 0) | (target >= classes)).any():
        raise ValueError(f"{name}: targets must lie in 0 … {classes - 1}, the classes of axis {axis}")
    index = jnp.expand_dims(target, axis)
    is_target = jnp.put_along_axis(jnp.zeros(values.shape, bool), index, True, axis, inplace=False)
    return jnp.take_along_axis(values, index, axis), is_target


def cross_entropy(logits: Array, target: Array, axis: int = -1, *, dim: int | None = None) -> Array:
    """Cross entropy of class indices, exact for confident predictions, without a reduction.

    With the gaps d_j = z_j − z_t it is softplus(log Σ_{j≠t} exp d_j).

    Args:
        logits: Float, classes on axis `axis`.
        target: Integer, the logits' shape without that axis.
        axis: Axis of the classes.
        dim: Another name of `axis`.

    Returns:
        One value per target.

    Raises:
        ValueError: The shapes do not fit, or a target is no class (checked outside transformations).

    Example:
        >>> [f"{value:.3e}" for value in cross_entropy(jnp.array([[50.0, 0.0]]), jnp.array([0]))]
        ['1.929e-22']
    """
    axis = (axis if dim is None else dim) % logits.ndim
    at_target, is_target = _at_target("cross_entropy", logits, target, axis)
    return softplus(logsumexp_without(logits - at_target, is_target, axis))


def soft_target_cross_entropy(logits: Array, target_logits: Array, axis: int = -1, *, dim: int | None = None) -> Array:
    """Cross entropy of a student against soft targets, without a reduction.

    The value is −Σ p·log q with the target's p and the student's q. The student's gradient q − p is
    computed from the difference of the logits, so that it keeps its digits when the two nearly agree.

    Args:
        logits: The student's logits, classes on axis `axis`.
        target_logits: The target's, same shape.
        axis: Axis of the classes.
        dim: Another name of `axis`.

    Returns:
        The logits' shape without that axis.

    Example:
        >>> soft_target_cross_entropy(jnp.zeros((3, 2)), jnp.zeros((3, 2)))
        Array([0.6931472, 0.6931472, 0.6931472], dtype=float32)
    """
    axis = axis if dim is None else dim
    p = softmax(target_logits, axis)
    value = -(p * stop_gradient(log_softmax(logits, axis))).sum(axis)
    gradient = _student_gradient(stop_gradient(logits), stop_gradient(target_logits), axis)
    return value + (gradient * (logits - stop_gradient(logits))).sum(axis)


def _student_gradient(logits: Array, target_logits: Array, axis: int) -> Array:
    """Return q − p without subtracting near equals: u − q·Σu with u = p·expm1(log(q/p))."""
    p, q = softmax(target_logits, axis), softmax(logits, axis)
    gap = logits - target_logits
    centred = gap - (p * gap).sum(axis, keepdims=True)
    log_ratio = centred - jnp.log1p((p * jnp.expm1(centred)).sum(axis, keepdims=True))
    u = p * jnp.expm1(log_ratio)
    return u - q * u.sum(axis, keepdims=True)


def focal_loss(prediction: Array, target: Array, gamma: float = 2.0, sum_dim: int = -1) -> Array:
    """Focal loss over classes: −(1 − p_t)^gamma · log p_t, mean over axis 0, sum over all others.

    Args:
        prediction: Logits: (B, K) or (B, T, K) with `sum_dim` −1, (B, K, H, W) with −3.
        target: Class indices: (B,), (B, T) or (B, 1, H, W).
        gamma: Focus on the hard samples; 0 is the cross entropy.
        sum_dim: Axis of the classes, counted after a new axis 1 was inserted: prefer negative numbers.

    Returns:
        Scalar.

    Raises:
        ValueError: The shapes do not fit, or a target is no class (checked outside transformations).

    Example:
        >>> focal_loss(jnp.zeros((3, 2)), jnp.array([0, 1, 1]))
        Array(0.1732868, dtype=float32)

    References:
        Lin et al., 2017: Focal loss for dense object detection.
    """
    refuse_axes("focal_loss", sum_dim, prediction.ndim + 1)
    logits = jnp.swapaxes(jnp.expand_dims(prediction, 1), 1, sum_dim)
    logits = logits.squeeze(-1) if logits.shape[-1] == 1 else logits  # (B, K, *)
    if gamma == 0:
        loss = cross_entropy(logits, target, axis=1)
    else:
        log_pt, _ = _at_target("focal_loss", log_softmax(logits, axis=1), target, 1)
        loss = -((1 - jnp.exp(log_pt)) ** gamma) * log_pt
    return loss.mean(0).sum()


def binary_focal_loss(prediction: Array, target: Array, gamma: float = 2.0, sum_dim: int = -1) -> Array:
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
        >>> binary_focal_loss(jnp.zeros((1, 2)), jnp.array([[0.0, 1.0]]))
        Array([0.3465736], dtype=float32)
    """
    refuse_unlike("binary_focal_loss", prediction.shape, target.shape)
    refuse_axes("binary_focal_loss", sum_dim, prediction.ndim)
    if gamma == 0:
        loss = (1 - target) * prediction - logsigmoid(prediction)
    else:
        is_one = target == 1
        signed = jnp.where(is_one, prediction, -prediction)
        p = jax.nn.sigmoid(prediction)
        loss = -(jnp.where(is_one, 1 - p, p) ** gamma) * logsigmoid(signed)
    return loss.sum(sum_dim)


def charbonnier(
    prediction: Array,
    target: Array,
    epsilon: float = 1e-3,
    alpha: float = 1,
    sum_dim: int | Sequence[int] | None = None,
) -> Array:
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
        >>> charbonnier(jnp.zeros((2, 1, 3, 5)), jnp.ones((2, 1, 3, 5))).round(2)
        Array([15., 15.], dtype=float32)
    """
    axes = (-3, -2, -1) if sum_dim is None else sum_dim if isinstance(sum_dim, int) else tuple(sum_dim)
    refuse_unlike("charbonnier", prediction.shape, target.shape)
    refuse_axes("charbonnier", axes, prediction.ndim)
    return (((prediction - target) ** 2 + epsilon**2) ** (alpha / 2)).sum(axes)
