"""TiDHy's losses and reductions, JAX, with torch's derivatives where a derivative is a convention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

if TYPE_CHECKING:
    from jax import Array


def elementwise_loss(loss: str, p: Array, y: Array) -> Array:
    """Loss of each entry.

    MSE (p−y)²; Poisson p − y·log p, with neither floor nor constant; BCE with each logarithm floored at −100.
    Where torch refuses a BCE whose p or y lies outside [0, 1], compiled code cannot: that entry is NaN.

    Args:
      loss: `"MSE"`, `"BCE"` or `"Poisson"`.
      p: (..., D) predictions.
      y: (..., D) observations.

    Returns:
      (..., D) losses.

    Example:
      >>> elementwise_loss("MSE", jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0]))
      Array([1., 4.], dtype=float32)
    """
    if loss == "BCE":
        return _cross_entropy(p, y)
    if loss == "Poisson":
        return p - y * jnp.log(p)
    return (p - y) ** 2


def reduced(losses: Array) -> Array:
    """Sum over the features, then mean over the batch: (..., B, k) → (...)."""
    return losses.sum(axis=-1).mean(axis=-1)


def l1(values: Array) -> Array:
    """Sum of magnitudes over all entries, batch included; its derivative at 0 is 0.

    That is torch's derivative; `jnp.abs` has 1 there, which latents that start at 0 would follow.
    """
    return (values * jnp.sign(values)).sum()


def soft_threshold(values: Array, threshold: float) -> Array:
    """Moves each entry towards 0 by the threshold, at most to 0: sign(v)·max(|v|−λ, 0)."""
    return jnp.sign(values) * jnp.maximum(jnp.abs(values) - threshold, 0.0)


def norm(values: Array) -> Array:
    """2-norm of all entries; its derivative at the zero array is 0, not NaN."""
    total = jnp.sum(values * values)
    return jnp.where(total == 0, 0.0, jnp.sqrt(jnp.where(total == 0, 1.0, total)))


@jax.custom_jvp
def _cross_entropy(p: Array, y: Array) -> Array:
    losses = -(y * jnp.maximum(jnp.log(p), -100.0) + (1 - y) * jnp.maximum(jnp.log1p(-p), -100.0))
    return jnp.where((p < 0) | (p > 1) | (y < 0) | (y > 1), jnp.nan, losses)


def _cross_entropy_jvp(primals: tuple[Array, Array], tangents: tuple) -> tuple[Array, Array]:
    (p, y), (dp, dy) = primals, tangents
    loss = _cross_entropy(p, y)
    change = jnp.zeros_like(loss)
    if not isinstance(dp, SymbolicZero):
        change += _slope(p, y) * dp
    if not isinstance(dy, SymbolicZero):
        change += (jnp.log1p(-p) - jnp.log(p)) * dy
    return loss, change


# torch floors p(1−p) in the first derivative but shifts p and 1−p in the second; both are kept.
_FLOOR = float(np.float32(1e-12))  # torch's constant is a float32, whatever the arrays are


@jax.custom_jvp
def _slope(p: Array, y: Array) -> Array:
    return (p - y) / jnp.maximum(p * (1 - p), _FLOOR)


def _slope_jvp(primals: tuple[Array, Array], tangents: tuple) -> tuple[Array, Array]:
    (p, y), (dp, dy) = primals, tangents
    slope = _slope(p, y)
    change = jnp.zeros_like(slope)
    if not isinstance(dp, SymbolicZero):
        change += (p * p - 2 * p * y + y) / ((p + 1e-12) ** 2 * (1 - p + 1e-12) ** 2) * dp
    if not isinstance(dy, SymbolicZero):
        change -= dy / jnp.maximum(p * (1 - p), 1e-12)
    return slope, change


_cross_entropy.defjvp(_cross_entropy_jvp, symbolic_zeros=True)
_slope.defjvp(_slope_jvp, symbolic_zeros=True)
