"""Rescaling of weights to norm 1, JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

if TYPE_CHECKING:
    from jax import Array


def normalized_last_axis(values: Array) -> Array:
    """Divides by the 2-norm along the last axis, or by 1e-12 where that is larger.

    Args:
      values: (..., k): `temporal`, or a kernel (in, out), whose rows are torch's columns.

    Returns:
      (..., k), of norm 1 along the last axis.

    Example:
      >>> normalized_last_axis(jnp.array([[3.0, 4.0], [0.0, 0.0]]))
      Array([[0.6, 0.8],
             [0. , 0. ]], dtype=float32)
    """
    return values / jnp.maximum(jnp.linalg.norm(values, axis=-1, keepdims=True), 1e-12)
