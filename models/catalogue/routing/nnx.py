"""Sorting, ties and mixtures of experts, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

from models.catalogue.normalisation.rows_nnx import Unit

if TYPE_CHECKING:
    from jax import Array

    from models.catalogue.routing.config import RoutingConfig


class Ranking(nnx.Module):
    """Places in descending order; equal keys keep their order, NaN counts as largest."""

    def __call__(self, x: Array) -> Array:  # (B, n), both ways
        return jnp.argsort(jax.lax.stop_gradient(x), -1, descending=True)


class Largest(nnx.Module):
    """The largest value of every row; among equal ones the first alone has a gradient, `jnp.max` shares it."""

    def __call__(self, x: Array) -> Array:  # (B, n) -> (B,)
        return jnp.take_along_axis(x, jnp.argmax(x, -1, keepdims=True), -1)[:, 0]


class Selection(nnx.Module):
    """What is largest, and in which order."""

    def __init__(self) -> None:
        self.ranking = Ranking()
        self.largest = Largest()

    def __call__(self, x: Array) -> dict[str, Array]:
        return {"ranking": self.ranking(x), "largest": self.largest(x)}


class Router(nnx.Module):
    """Chooses experts by score plus a bias that takes no part in the weights."""

    def __init__(self, config: RoutingConfig, *, rngs: nnx.Rngs) -> None:
        self.chosen = config.chosen
        self.gate = nnx.Linear(config.width, config.experts, use_bias=False, rngs=rngs)
        self.bias = nnx.BatchStat(jnp.zeros(config.experts))

    def __call__(self, x: Array) -> Array:  # (N, width) -> (N, experts)
        scores = jax.nn.sigmoid(self.gate(x))
        chosen = jax.lax.top_k(scores + self.bias[...], self.chosen)[1]
        kept = jnp.where(jax.nn.one_hot(chosen, scores.shape[1]).sum(1) > 0, self.weighed(scores), 0)
        return kept / kept.sum(-1, keepdims=True)

    def weighed(self, scores: Array) -> Array:
        return scores


class Experts(nnx.Module):
    """Every token through the experts that it was sent to; no token is dropped."""

    def __init__(self, config: RoutingConfig, *, rngs: nnx.Rngs) -> None:
        self.scale = config.scale
        shape = (config.experts, config.width, config.width)
        self.weight = nnx.Param(jax.random.normal(rngs.params(), shape))

    def __call__(self, x: Array, weights: Array) -> Array:  # (N, width), (N, experts) -> (N, width)
        each = jnp.tanh(jnp.einsum("nd,edf->nef", x, self.weight[...]))
        return self.scale * (self.dispatched(weights)[:, :, None] * each).sum(1)

    def dispatched(self, weights: Array) -> Array:
        return weights


class Balance(nnx.Module):
    """The routing penalty over tokens that are no padding: share of choices times mean weight, per expert."""

    def __call__(self, weights: Array, keep: Array) -> Array:  # (N, experts), (N,) -> ()
        keep = self.counted(keep)
        count = jnp.maximum(keep.sum(), 1)
        chosen = ((weights > 0) * keep[:, None]).sum(0) / count
        mean = (weights * keep[:, None]).sum(0) / count
        return weights.shape[1] * (chosen * mean).sum()

    def counted(self, keep: Array) -> Array:
        return keep


class Mixture(nnx.Module):
    """A router, experts, and the penalty for uneven routing."""

    def __init__(self, config: RoutingConfig, *, rngs: nnx.Rngs) -> None:
        self.unit = Unit()
        self.router = Router(config, rngs=rngs)
        self.experts = Experts(config, rngs=rngs)
        self.balance = Balance()

    def __call__(self, x: Array, keep: Array) -> tuple[Array, Array]:  # (N, width), (N,)
        weights = self.router(self.unit(x))
        return self.experts(x, weights), self.balance(weights, keep)
