"""Integer division, shifts and casts, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from jax import Array


class FloorDivide(nnx.Module):
    """Rounds towards minus infinity; `lax.div` rounds towards zero."""

    def __call__(self, x: Array, y: Array) -> Array:
        return x // y


class Remainder(nnx.Module):
    """Has the sign of the divisor; `lax.rem` has that of the dividend."""

    def __call__(self, x: Array, y: Array) -> Array:
        return x % y


class Shift(nnx.Module):
    """Keeps the sign."""

    def __call__(self, x: Array, y: Array) -> Array:
        return x.astype(jnp.int32) >> 1


class Total(nnx.Module):
    """The sum of 32-bit integers does not wrap round."""

    def __call__(self, x: Array, y: Array) -> Array:
        return self.widened(x.astype(jnp.int32) * 300_000_000).sum(-1)

    def widened(self, x: Array) -> Array:
        return x.astype(jnp.int64)


class Bytes(nnx.Module):
    """The sum of two bytes, beyond a byte."""

    def __call__(self, x: Array, y: Array) -> Array:
        a, b = (self.widened(jnp.abs(v).astype(jnp.uint8)) for v in (x, y))
        return (a * 30 + b * 30).astype(jnp.int32)

    def widened(self, x: Array) -> Array:
        return x.astype(jnp.int32)


class Whole(nnx.Module):
    """Integers from integers."""

    def __init__(self) -> None:
        self.quotient = FloorDivide()
        self.remainder = Remainder()
        self.shift = Shift()
        self.total = Total()
        self.bytes = Bytes()

    def __call__(self, x: Array, y: Array) -> dict[str, Array]:  # 2 x (B, n)
        names = ("quotient", "remainder", "shift", "total", "bytes")
        return {name: getattr(self, name)(x, y) for name in names}


class Saturated(nnx.Module):
    """Floats to bytes as torch casts them: through an integer, modulo 256; XLA saturates."""

    def __call__(self, x: Array) -> Array:
        return self.cast(x * 100)

    def cast(self, x: Array) -> Array:
        return x.astype(jnp.int64).astype(jnp.uint8)
