"""Torch's activation functions in JAX, with torch's values and torch's gradients at the kinks.

Names and keywords are those of torch. Where a function of `jax.nn` is another one, a comment says how.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def identity(x: Array) -> Array:
    """Return x."""
    return x


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return jax.nn.relu(x)


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x, or negative_slope·x where x ≤ 0."""
    return jnp.where(x > 0, x, negative_slope * x)  # jax.nn's has slope 1 at 0


def relu6(x: Array) -> Array:
    """X limited to [0, 6]."""
    return hardtanh(x, 0.0, 6.0)


def hardtanh(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """X limited to [min_val, max_val]."""
    inside = (x > min_val) & (x < max_val)  # at the ends the gradient is 0; jax.nn's is 1
    return jnp.where(inside | jnp.isnan(x), x, jnp.where(x <= min_val, min_val, max_val).astype(x.dtype))


def hardsigmoid(x: Array) -> Array:
    """relu6(x + 3)/6."""
    return relu6(x + 3) / 6


def hardswish(x: Array) -> Array:
    """x·relu6(x + 3)/6."""
    return x * relu6(x + 3) / 6


def softshrink(x: Array, lambd: float = 0.5) -> Array:
    """X moved towards 0 by lambd, and 0 in between."""
    return jnp.where(x > lambd, x - lambd, jnp.where(x < -lambd, x + lambd, 0 * x))


def hardshrink(x: Array, lambd: float = 0.5) -> Array:
    """x, but 0 within ±lambd."""
    return jnp.where((x >= -lambd) & (x <= lambd), jnp.zeros_like(x), x)


def threshold(x: Array, threshold: float, value: float) -> Array:
    """x, or `value` where x ≤ threshold."""
    return jnp.where(x <= threshold, jnp.asarray(value, x.dtype), x)


def _negative(x: Array) -> Array:
    """Return 0 where x is positive, else x, NaN too; `jnp.minimum` would halve the gradient at 0."""
    return jnp.where(x > 0, 0, x)


def elu(x: Array, alpha: float = 1.0) -> Array:
    """x, or alpha·(eˣ − 1) where x ≤ 0."""
    return jnp.where(x > 0, x, alpha * jnp.expm1(_negative(x)))


def celu(x: Array, alpha: float = 1.0) -> Array:
    """x, or alpha·(exp(x/alpha) − 1) where x ≤ 0."""
    return jnp.where(x > 0, x, alpha * jnp.expm1(_negative(x) / alpha))


def selu(x: Array) -> Array:
    """ELU with the self-normalising constants."""
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)


def gelu(x: Array, approximate: str = "none") -> Array:
    """x·Φ(x), exact unless `approximate` is "tanh"."""
    return jax.nn.gelu(x, approximate=approximate == "tanh")  # jax.nn approximates by default


def sigmoid(x: Array) -> Array:
    """1/(1 + e⁻ˣ)."""
    return jax.nn.sigmoid(x)


def silu(x: Array) -> Array:
    """x·sigmoid(x)."""
    return jax.nn.silu(x)


def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    return jnp.tanh(x)


def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta·x))/beta, and x itself where beta·x exceeds the threshold."""
    scaled = x * beta
    linear = scaled > threshold  # jax.nn's has no such branch; the gap is 2e-9 at 20
    return jnp.where(linear, x, jnp.log1p(jnp.exp(jnp.where(linear, 0, scaled))) / beta)


def mish(x: Array) -> Array:
    """x·tanh(softplus(x))."""
    return x * jnp.tanh(softplus(x))


def logsigmoid(x: Array) -> Array:
    """Log sigmoid(x)."""
    return jnp.where(x < 0, x, 0) - jnp.log1p(jnp.exp(jnp.where(x < 0, x, -x)))


def softsign(x: Array) -> Array:
    """x/(1 + |x|)."""
    return x / (1 + jnp.abs(x))


def tanhshrink(x: Array) -> Array:
    """X − tanh(x)."""
    return x - jnp.tanh(x)


def glu(x: Array, dim: int = -1) -> Array:
    """a·sigmoid(b) with halves a and b along `dim`."""
    a, b = halves(x, dim)
    return a * jax.nn.sigmoid(b)


def halves(x: Array, dim: int) -> tuple[Array, Array]:
    """Split an axis in two.

    Raises:
        ValueError: Its size is odd.
    """
    if x.shape[dim] % 2:
        raise ValueError(f"a gated activation halves axis {dim}, which must be even, got {x.shape[dim]}")
    a, b = jnp.split(x, 2, axis=dim)
    return a, b


def _softmax_axis(x: Array, dim: int | None) -> int:
    """Return the axis, by torch's old rule where none is given."""
    if dim is not None:
        return dim
    return 0 if x.ndim in (0, 1, 3) else 1


def softmax(x: Array, dim: int | None = None) -> Array:
    """Softmax along `dim`, or along the axis of torch's old rule."""
    return jax.nn.softmax(x, axis=_softmax_axis(x, dim))


def log_softmax(x: Array, dim: int | None = None) -> Array:
    """Log-softmax along `dim`, or along the axis of torch's old rule."""
    return jax.nn.log_softmax(x, axis=_softmax_axis(x, dim))


def softmin(x: Array, dim: int | None = None) -> Array:
    """Softmax of −x."""
    return jax.nn.softmax(-x, axis=_softmax_axis(x, dim))


def softmax2d(x: Array) -> Array:
    """Softmax over the channels of images."""
    if x.ndim not in (3, 4):
        raise ValueError(f"Softmax2d: expected (C, H, W) or (B, C, H, W), got shape {x.shape}")
    return jax.nn.softmax(x, axis=-3)
