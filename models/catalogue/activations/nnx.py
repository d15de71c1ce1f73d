"""Activation functions and their parameters, Flax NNX. Every model hands one input to several functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from jax import Array


class GELU(nnx.Module):
    """The exact form, as torch's default is; Flax's default is the one with tanh."""

    def __init__(self) -> None:
        self.approximate = False

    def __call__(self, x: Array) -> Array:
        return jax.nn.gelu(x, approximate=self.approximate)


class QuickGELU(nnx.Module):
    """x sigmoid(1.702 x)."""

    def __call__(self, x: Array) -> Array:
        return x * jax.nn.sigmoid(1.702 * x)


class HardSigmoid(nnx.Module):
    """relu6(x + 3) / 6."""

    def __call__(self, x: Array) -> Array:
        return jax.nn.hard_sigmoid(x)


class Softplus(nnx.Module):
    """log(1 + exp(beta x)) / beta; x itself where beta x is above 20, as in torch."""

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def __call__(self, x: Array) -> Array:
        scaled = self.beta * x
        bent = jax.nn.softplus(jnp.minimum(scaled, 20.0)) / self.beta
        return jnp.where(scaled > 20.0, x, bent)


class ELU(nnx.Module):
    """x, or alpha (exp(x) - 1) below zero."""

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def __call__(self, x: Array) -> Array:
        return jax.nn.elu(x, self.alpha)


class SoftCap(nnx.Module):
    """Bends values smoothly so that they stay within a limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, x: Array) -> Array:
        return self.limit * jnp.tanh(x / self.limit)


class Smooth(nnx.Module):
    """Activations that are smooth but for kinks that random numbers do not meet."""

    def __init__(self) -> None:
        self.gelu = GELU()
        self.quick_gelu = QuickGELU()
        self.hardsigmoid = HardSigmoid()
        self.softplus = Softplus(beta=2.5)
        self.elu = ELU(alpha=0.6)
        self.cap = SoftCap(5.0)

    def __call__(self, x: Array) -> dict[str, Array]:  # (B, n), each output too
        names = ("gelu", "quick_gelu", "hardsigmoid", "softplus", "elu", "cap")
        return {name: getattr(self, name)(x) for name in names}


class LogSigmoid(nnx.Module):
    """log sigmoid(x), without an overflow on the way."""

    def __call__(self, x: Array) -> Array:
        return jax.nn.log_sigmoid(x)


class Softmax(nnx.Module):
    """Over the last axis, with the largest logit subtracted."""

    def __call__(self, x: Array) -> Array:
        return jax.nn.softmax(x, -1)


class LogSoftmax(nnx.Module):
    """Over the last axis, with the largest logit subtracted."""

    def __call__(self, x: Array) -> Array:
        return jax.nn.log_softmax(x, -1)


class Log1p(nnx.Module):
    """log(1 + exp(-|x|)) through log1p, exact for large x."""

    def __call__(self, x: Array) -> Array:
        return jnp.log1p(jnp.exp(-jnp.abs(x)))


class Stable(nnx.Module):
    """Functions that a naive formula gets wrong for large or tiny arguments."""

    def __init__(self) -> None:
        self.logsigmoid = LogSigmoid()
        self.softmax = Softmax()
        self.log_softmax = LogSoftmax()

    def __call__(self, x: Array) -> dict[str, Array]:  # (B, n), each output too
        names = ("logsigmoid", "softmax", "log_softmax")
        return {name: getattr(self, name)(x) for name in names}


class Rectifier(nnx.Module):
    """max(x, 0); its derivative at zero is zero, where that of `jnp.maximum` is a half."""

    def __call__(self, x: Array) -> Array:
        return jax.nn.relu(x)


class Clamp(nnx.Module):
    """Limits values from below; the derivative at the limit is one, where that of `jnp.clip` is a half."""

    def __call__(self, x: Array) -> Array:
        return jnp.where(x >= 0, x, 0)


class Kinked(nnx.Module):
    """Activations whose derivative at zero is a convention."""

    def __init__(self) -> None:
        self.relu = Rectifier()
        self.clamp = Clamp()

    def __call__(self, x: Array) -> dict[str, Array]:  # (B, n), each output too
        return {"relu": self.relu(x), "clamp": self.clamp(x)}


class PReLU(nnx.Module):
    """A slope per channel below zero; channels are axis 1, as in torch."""

    def __init__(self, channels: int) -> None:
        self.weight = nnx.Param(jnp.full((channels,), 0.25))

    def __call__(self, x: Array) -> Array:  # (B, channels, n)
        return jnp.where(x >= 0, x, self.slope() * x)

    def slope(self) -> Array:
        return self.weight[...][:, None]


class GLU(nnx.Module):
    """The first half times the sigmoid of the second."""

    def __call__(self, x: Array) -> Array:  # (..., 2n) -> (..., n)
        value, gate = jnp.split(x, 2, -1)
        return value * jax.nn.sigmoid(gate)


class SwiGLU(nnx.Module):
    """A gate and a value, each limited before they are multiplied."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, x: Array) -> Array:  # (..., 2n) -> (..., n)
        gate, value = jnp.split(x, 2, -1)
        gate = jnp.minimum(gate, self.limit)
        return jax.nn.silu(gate) * (jnp.clip(value, -self.limit, self.limit) + 1)


class Gated(nnx.Module):
    """A dense layer into gated activations, and a slope per channel on the way."""

    def __init__(self, width: int = 5, hidden: int = 6, *, rngs: nnx.Rngs) -> None:
        self.prelu = PReLU(width)
        self.project = nnx.Linear(width, hidden, rngs=rngs)
        self.glu = GLU()
        self.swiglu = SwiGLU(1.5)

    def __call__(self, x: Array) -> tuple[Array, Array]:  # (B, width, n) -> 2 x (B, n, hidden / 2)
        x = self.project(self.prelu(x).swapaxes(1, 2))
        return self.glu(x), self.swiglu(x)
