"""Every random draw of the sampling functions, JAX: the one place to replace in order to share noise."""

from __future__ import annotations

import jax
from jax import Array
from jax import numpy as jnp


def standard_normal(key: Array, like: Array) -> Array:
    """Draw ε ~ N(0, 1) in the shape and dtype of `like`."""
    return jax.random.normal(key, like.shape, like.dtype)


def gumbel(key: Array, like: Array) -> Array:
    """Draw standard Gumbel noise in the shape of `like`: −log of an Exponential(1) sample."""
    return -jnp.log(jax.random.exponential(key, like.shape, like.dtype))


def one_hot(key: Array, probs: Array) -> Array:
    """Draw one class per row.

    Args:
        key: Random key.
        probs: Probabilities (*, K), float; rows need not sum to 1 exactly.

    Returns:
        One-hot rows (*, K) in the dtype of `probs`.
    """
    classes = jax.random.categorical(key, jnp.log(jax.lax.stop_gradient(probs)), axis=-1)
    return jax.nn.one_hot(classes, probs.shape[-1], dtype=probs.dtype)


def bits(key: Array, probs: Array) -> Array:
    """Draw 1 with the given probabilities, else 0, in their shape and dtype."""
    return jax.random.bernoulli(key, jax.lax.stop_gradient(probs)).astype(probs.dtype)
