"""Norms of rows, Flax NNX: over the last axes, root mean square, standard deviation, unit length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from jax import Array

    from models.catalogue.normalisation.config import NormConfig


class LayerNorm(nnx.Module):
    """Flax's layer normalises one feature axis; this one all axes of `shape`, as torch does."""

    def __init__(self, shape: tuple[int, ...], *, epsilon: float) -> None:
        self.axes = tuple(range(-len(shape), 0))
        self.epsilon = epsilon
        self.scale = nnx.Param(jnp.ones(shape))
        self.bias = nnx.Param(jnp.zeros(shape))

    def __call__(self, x: Array) -> Array:  # (..., *shape), both ways
        centred = x - x.mean(self.axes, keepdims=True)
        variance = jnp.square(centred).mean(self.axes, keepdims=True)
        return centred * jax.lax.rsqrt(variance + self.epsilon) * self.scale[...] + self.bias[...]


class LayerNormBlock(nnx.Module):
    """A norm over the last two axes, a dense layer, and a norm over the last axis."""

    def __init__(self, config: NormConfig, *, rngs: nnx.Rngs) -> None:
        self.norm = LayerNorm((config.height, config.length), epsilon=1e-5)
        self.hidden = nnx.Linear(config.length, config.width, rngs=rngs)
        self.last = nnx.LayerNorm(config.width, epsilon=1e-5, use_fast_variance=False, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, height, length) -> (B, height, width)
        return self.last(jnp.tanh(self.hidden(self.norm(x))))


class RMSNorm(nnx.RMSNorm):
    """Flax's layer with torch's default: the machine epsilon of the computing dtype, float32 at least."""

    def __call__(self, x: Array) -> Array:  # (..., n), both ways
        return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + self.machine(x)) * self.scale[...]  # pyright: ignore[reportOptionalSubscript]  # scaled, by default

    def machine(self, x: Array) -> float:
        return float(jnp.finfo(jnp.promote_types(x.dtype, jnp.float32)).eps)


class RmsNormBlock(nnx.Module):
    """Two norms without centring; the first has torch's default epsilon, the second Flax's."""

    def __init__(self, config: NormConfig, *, rngs: nnx.Rngs) -> None:
        self.norm = RMSNorm(config.length, rngs=rngs)
        self.hidden = nnx.Linear(config.length, config.width, rngs=rngs)
        self.last = nnx.RMSNorm(config.width, epsilon=1e-6, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, length) -> (B, width)
        return self.last(jnp.tanh(self.hidden(self.norm(x))))


class Standardise(nnx.Module):
    """Divides rows by their standard deviation, which torch takes with n - 1 and gives no gradient where it is 0."""

    def __init__(self) -> None:
        self.ddof = 1

    def __call__(self, x: Array) -> Array:  # (B, n), both ways
        return (x - x.mean(-1, keepdims=True)) / (root(x.var(-1, ddof=self.ddof, keepdims=True)) + 1e-3)


class Unit(nnx.Module):
    """Divides rows by their length, but by no less than 1e-12; a row of zeros has a gradient, as in torch."""

    def __call__(self, x: Array) -> Array:  # (B, n), both ways
        return x / jnp.maximum(self.length(x), 1e-12)

    def length(self, x: Array) -> Array:  # (B, n) -> (B, 1)
        return root(jnp.sum(x * x, -1, keepdims=True))


class Rows(nnx.Module):
    """Standardised rows through a dense layer to unit length."""

    def __init__(self, config: NormConfig, *, rngs: nnx.Rngs) -> None:
        self.standardise = Standardise()
        self.hidden = nnx.Linear(config.length, config.width, rngs=rngs)
        self.unit = Unit()

    def __call__(self, x: Array) -> Array:  # (B, length) -> (B, width)
        return self.unit(self.hidden(self.standardise(x)))


def root(square: Array) -> Array:
    """The square root, whose gradient at 0 is 0."""
    safe = jnp.where(square > 0, square, 1.0)
    return jnp.where(square > 0, jnp.sqrt(safe), 0.0)
