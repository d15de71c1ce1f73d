"""Softplus as torch computes it, JAX."""

from __future__ import annotations

from jax import Array
from jax import numpy as jnp

_THRESHOLD = 20  # torch's default, in `nn.Softplus` and `F.softplus` alike


def softplus(x: Array) -> Array:
    """Return log1p(exp x), and x itself above 20, where `jax.nn.softplus` still adds up to 2e-9.

    Args:
        x: Float, any shape.

    Example:
        >>> softplus(jnp.array([0.0, 30.0]))
        Array([ 0.6931472, 30.       ], dtype=float32)
    """
    linear = x > _THRESHOLD
    return jnp.where(linear, x, jnp.log1p(jnp.exp(jnp.where(linear, 0, x))))
