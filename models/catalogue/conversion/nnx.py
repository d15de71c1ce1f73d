"""Weights that are stored otherwise than they are used, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx

from models.catalogue.normalisation.nnx import BatchNorm

if TYPE_CHECKING:
    from jax import Array


class Adapted(nnx.Module):
    """A dense layer plus a scaled product of two thin matrices, the second of which starts at zero."""

    def __init__(self, inputs: int, outputs: int, rank: int, alpha: float, *, rngs: nnx.Rngs) -> None:
        self.base = nnx.Linear(inputs, outputs, rngs=rngs)
        self.down = nnx.Linear(inputs, rank, use_bias=False, rngs=rngs)
        self.up = nnx.Linear(rank, outputs, use_bias=False, kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.scale = alpha / rank

    def __call__(self, x: Array) -> Array:
        return self.base(x) + self.scale * self.up(self.down(x))


class Directed(nnx.Module):
    """A dense layer whose rows have a direction and a length."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        self.length = nnx.Param(jnp.ones((outputs, 1)))
        self.direction = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), (outputs, inputs)))
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(self, x: Array) -> Array:
        return x @ self.weight().T + self.bias[...]

    def weight(self) -> Array:
        direction = self.direction[...]
        return self.length[...] * direction / jnp.linalg.norm(direction, axis=1, keepdims=True)


class Stored(nnx.Module):
    """An adapted layer, a norm with statistics, and a layer stored as direction and length."""

    def __init__(self, inputs: int = 3, hidden: int = 5, outputs: int = 4, *, rngs: nnx.Rngs) -> None:
        self.adapted = Adapted(inputs, hidden, rank=2, alpha=3.0, rngs=rngs)
        self.norm = BatchNorm(hidden, rngs=rngs)
        self.directed = Directed(hidden, outputs, rngs=rngs)
        self.offset = nnx.BatchStat(jnp.linspace(1.3, 2.6, outputs))

    def __call__(self, x: Array) -> Array:  # (B, inputs) -> (B, outputs)
        return self.directed(jnp.tanh(self.norm(self.adapted(x)))) + self.offset[...]
