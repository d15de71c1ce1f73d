"""Softmax that stays exact at the largest entry, JAX."""

from __future__ import annotations

import jax
from jax import Array
from jax import numpy as jnp

from models.networks import draws_nnx
from models.networks.value_checks_nnx import is_concrete


def log_softmax(inputs: Array, axis: int = -1, temperature: float = 1.0, *, dim: int | None = None) -> Array:
    """Log-softmax that tells a probability of 1 − 1e-17 from 1.

    With the gaps s_j = z_j − max z, exactly 0 at the largest entry i, it is s_j − log1p(Σ_{j≠i} exp s_j),
    which loses nothing when the sum is far below 1.

    Args:
        inputs: Logits, any shape.
        axis: Axis of the classes.
        temperature: Divides the logits.
        dim: Another name of `axis`.

    Returns:
        Log-probabilities in the shape of the inputs.

    Example:
        >>> [f"{value:.3e}" for value in log_softmax(jnp.array([0.0, -50.0]))]
        ['-1.929e-22', '-5.000e+01']
    """
    axis = axis if dim is None else dim
    z = inputs / temperature
    largest = jnp.argmax(z, axis, keepdims=True)
    top = jnp.put_along_axis(jnp.zeros(z.shape, bool), largest, True, axis, inplace=False)
    gap = jnp.where(top, 0, z - jnp.take_along_axis(z, largest, axis))
    return gap - jnp.log1p(jnp.where(top, 0, jnp.exp(gap)).sum(axis, keepdims=True))


def _finite(name: str, probs: Array) -> Array:
    if is_concrete(probs) and not jnp.isfinite(probs).all():
        raise ValueError(
            f"{name}: the result holds NaN or inf; expected logits without NaN, "
            "with at most one +inf and not all −inf along the axis"
        )
    return probs


def softmax(inputs: Array, axis: int = -1, temperature: float = 1.0, *, dim: int | None = None) -> Array:
    """Exponential of `log_softmax`.

    Args:
        inputs: Logits, any shape.
        axis: Axis of the classes.
        temperature: Divides the logits.
        dim: Another name of `axis`.

    Returns:
        Probabilities in the shape of the inputs.

    Raises:
        ValueError: The result holds NaN or inf; not checked under a transformation such as `jax.jit`.

    Example:
        >>> softmax(jnp.array([1.0, 1.0]))
        Array([0.5, 0.5], dtype=float32)
    """
    return _finite("softmax", jnp.exp(log_softmax(inputs, axis, temperature, dim=dim)))


def gumbel_softmax(
    inputs: Array,
    key: Array | None = None,
    axis: int | None = None,
    temperature: float = 1.0,
    *,
    dim: int | None = None,
    noise: Array | None = None,
) -> Array:
    """Sample one-hot vectors with the gradient of a softmax (straight through).

    Args:
        inputs: Logits, any shape.
        key: Random key; may be left out when `noise` is given.
        axis: Axis of the classes; it has to be given, here or as `dim`.
        temperature: Divides the noisy logits.
        dim: Another name of `axis`.
        noise: Gumbel noise in the shape of the inputs, in place of a draw.

    Returns:
        One-hot samples in the shape of the inputs.

    Raises:
        TypeError: Neither `axis` nor `dim`, or neither `key` nor `noise`.
        ValueError: The soft sample holds NaN or inf; not checked under a transformation.

    References:
        Jang et al., 2017: Categorical reparameterization with Gumbel-softmax.
    """
    axis = axis if dim is None else dim
    if axis is None:
        raise TypeError("gumbel_softmax: axis is missing; name the axis of the classes")
    if noise is None:
        if key is None:
            raise TypeError("gumbel_softmax: key is missing; give a random key, or the noise itself")
        noise = draws_nnx.gumbel(key, inputs)
    soft = _finite("gumbel_softmax", jnp.exp(log_softmax(inputs + noise, axis, temperature)))
    hard = jax.nn.one_hot(jnp.argmax(soft, axis), soft.shape[axis], axis=axis, dtype=soft.dtype)
    return (hard - jax.lax.stop_gradient(soft)) + soft


def logsumexp_without(inputs: Array, excluded: Array, axis: int) -> Array:
    """Sum exponentials of the entries that are not excluded, and take the logarithm.

    Args:
        inputs: Any shape.
        excluded: Bool, same shape.
        axis: Axis to sum over.

    Returns:
        The inputs' shape without that axis; −inf, with gradient 0, where nothing is left.

    Example:
        >>> logsumexp_without(jnp.array([0.0, 3.0]), jnp.array([True, False]), axis=0)
        Array(3., dtype=float32)
    """
    left = jnp.where(excluded, -jnp.inf, inputs)
    largest = jax.lax.stop_gradient(left).max(axis, keepdims=True)
    largest = jnp.where(jnp.isneginf(largest), 0, largest)
    total = jnp.exp(left - largest).sum(axis)
    empty = total == 0
    return jnp.where(empty, -jnp.inf, jnp.log(jnp.where(empty, 1, total)) + largest.squeeze(axis))
