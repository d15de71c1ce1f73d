"""Dropout, noise and sampling, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from jax import Array


class DropPath(nnx.Module):
    """Drops a whole branch of single examples of the batch, and scales up the others."""

    def __init__(self, rate: float, *, rngs: nnx.Rngs) -> None:
        self.rate = rate
        self.deterministic = False
        self.rngs = rngs.dropout.fork()

    def __call__(self, x: Array) -> Array:  # (B, ...), both ways
        if self.deterministic:
            return x
        return x * jax.random.bernoulli(self.rngs(), 1 - self.rate, self.shape(x)) / (1 - self.rate)

    def shape(self, x: Array) -> tuple[int, ...]:
        return (len(x), *(1,) * (x.ndim - 1))


class Noise(nnx.Module):
    """Adds normal noise of a given standard deviation while training."""

    def __init__(self, deviation: float, *, rngs: nnx.Rngs) -> None:
        self.deviation = deviation
        self.deterministic = False
        self.rngs = rngs.noise.fork()

    def __call__(self, x: Array) -> Array:
        if self.deterministic:
            return x
        return x + self.scale() * jax.random.normal(self.rngs(), x.shape, x.dtype)

    def scale(self) -> float:
        return self.deviation


class Dropped(nnx.Module):
    """Dropout before and after a dense layer, of whole channels, of whole branches, and noise."""

    def __init__(self, width: int = 5, *, rngs: nnx.Rngs) -> None:
        self.first = nnx.Dropout(0.3, rngs=rngs)
        self.dense = nnx.Linear(width, width, rngs=rngs)
        self.second = nnx.Dropout(0.3, rngs=rngs)
        self.channels = nnx.Dropout(0.4, broadcast_dims=(2, 3), rngs=rngs)
        self.path = DropPath(0.2, rngs=rngs)
        self.noise = Noise(0.5, rngs=rngs)

    def __call__(self, x: Array) -> dict[str, Array]:  # (B, C, H, width)
        dropped = self.second(jnp.tanh(self.dense(self.first(x))))
        return {
            "dropped": dropped,
            "channels": self.channels(x),
            "path": self.path(x),
            "noise": self.noise(x),
        }


class Choice(nnx.Module):
    """Draws two different rows per example, by weight: the largest of weight over exponential noise."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.rngs = rngs.sample.fork()

    def __call__(self, x: Array) -> Array:  # (B, n, d) -> (B, 2, d)
        weights = jax.lax.stop_gradient(jnp.square(x).sum(-1) + 0.1)
        return jnp.take_along_axis(x, self.draw(weights)[:, :, None], 1)

    def draw(self, weights: Array) -> Array:  # (B, n) -> (B, 2)
        return jax.lax.top_k(weights / jax.random.exponential(self.rngs(), weights.shape, weights.dtype), 2)[1]


class Shuffled(nnx.Module):
    """The batch in random order."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.rngs = rngs.shuffle.fork()

    def __call__(self, x: Array) -> Array:
        return x[jax.random.permutation(self.rngs(), len(x))]
