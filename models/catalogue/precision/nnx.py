"""Where a model computes in less than its own precision, and how it starts, Flax NNX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

from models.catalogue.embed_nnx import Embed
from models.catalogue.recurrent.nnx import GRU

if TYPE_CHECKING:
    from jax import Array


def accurate(x: Array) -> Array:
    """In float32 at least: half precisions are raised."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


class Sinusoids(nnx.Module):
    """Adds a table of sines and cosines of the position, in the precision of the input."""

    def __call__(self, x: Array) -> Array:  # (B, T, width), both ways
        return x + self.table(x).astype(x.dtype)

    def table(self, x: Array) -> Array:  # (T, width)
        length, width = x.shape[1:]
        rates = 100.0 ** (-jnp.arange(width // 2, dtype=x.dtype) / (width // 2))
        angles = jnp.arange(length, dtype=x.dtype)[:, None] * rates
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)


class Softmax(nnx.Module):
    """Over the last axis, in float32 at least."""

    def __call__(self, x: Array) -> Array:
        return jax.nn.softmax(accurate(x), -1).astype(x.dtype)


class RootMeanSquare(nnx.Module):
    """A norm whose statistics are in float32 at least."""

    def __call__(self, x: Array) -> Array:
        wide = accurate(x)
        return (wide * jax.lax.rsqrt(jnp.square(wide).mean(-1, keepdims=True) + 1e-6)).astype(x.dtype)


class Mixed(nnx.Module):
    """Positions, a dense layer, a norm, another dense layer, and probabilities."""

    def __init__(self, width: int = 6, hidden: int = 5, *, rngs: nnx.Rngs) -> None:
        self.positions = Sinusoids()
        self.dense = nnx.Linear(width, hidden, rngs=rngs)
        self.norm = RootMeanSquare()
        self.out = nnx.Linear(hidden, width, rngs=rngs)
        self.softmax = Softmax()

    def __call__(self, x: Array) -> Array:  # (B, T, width), both ways
        return self.softmax(self.out(self.norm(jnp.tanh(self.dense(self.positions(x))))))


class Linear(nnx.Linear):
    """Starts as torch's does: weights and bias uniform within 1 / sqrt(inputs)."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        bound = 1 / math.sqrt(inputs)

        def draw(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32, **_: object) -> Array:
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        super().__init__(inputs, outputs, kernel_init=draw, bias_init=draw, rngs=rngs)


class StandardEmbed(Embed):
    """Starts as torch's does: standard normal."""

    def __init__(self, count: int, features: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(count, features, rngs=rngs)
        self.embedding = nnx.Param(jax.random.normal(rngs.params(), (count, features)))


class StartedGRU(GRU):
    """Starts as torch's does: everything uniform within 1 / sqrt(hidden)."""

    def __init__(self, inputs: int, hidden: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(inputs, hidden, rngs=rngs)
        bound = 1 / math.sqrt(hidden)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            shape = getattr(self, name).shape
            setattr(self, name, nnx.Param(jax.random.uniform(rngs.params(), shape, minval=-bound, maxval=bound)))


class Started(nnx.Module):
    """Layers of which each starts in its own way; the last starts at zero, as residual branches do."""

    def __init__(self, vocabulary: int = 97, width: int = 64, hidden: int = 48, *, rngs: nnx.Rngs) -> None:
        self.tokens = StandardEmbed(vocabulary, width, rngs=rngs)
        self.dense = Linear(width, hidden, rngs=rngs)
        self.rnn = StartedGRU(hidden, hidden, rngs=rngs)
        self.last = nnx.Linear(hidden, width, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(self, ids: Array) -> Array:  # (B, T) -> (B, T, width)
        return self.last(self.rnn(jnp.tanh(self.dense(self.tokens(ids))))[0])
