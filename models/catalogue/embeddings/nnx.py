"""Embeddings, positions and tied heads, Flax NNX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

from models.catalogue.embed_nnx import Embed

if TYPE_CHECKING:
    from jax import Array

    from models.catalogue.embeddings.config import EmbeddingConfig


class LogProbabilities(nnx.Module):
    """Log-probabilities of the true vocabulary; the rows that only pad the table take no part."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

    def __call__(self, logits: Array) -> Array:  # (..., padded) -> (..., vocabulary)
        return jax.nn.log_softmax(logits[..., : self.vocabulary], -1)


class Language(nnx.Module):
    """Scaled tokens plus positions, a dense layer, and a head with the weights of the embedding."""

    def __init__(self, config: EmbeddingConfig, *, rngs: nnx.Rngs) -> None:
        self.offset = config.offset
        self.tokens = Embed(config.padded, config.width, rngs=rngs)
        self.positions = Embed(config.longest, config.width, rngs=rngs)
        self.hidden = nnx.Linear(config.width, config.width, rngs=rngs)
        self.log_probabilities = LogProbabilities(config.vocabulary)

    def __call__(self, ids: Array) -> Array:  # (B, T) -> (B, T, vocabulary)
        where = jnp.arange(ids.shape[1]) + self.offset
        x = self.tokens(ids) * self.scale() + self.positions(where)
        return self.log_probabilities(self.head(jnp.tanh(self.hidden(x))))

    def scale(self) -> float:
        return math.sqrt(self.tokens.features)

    def head(self, x: Array) -> Array:  # (..., width) -> (..., padded)
        return self.tokens.attend(x)


class MeanBag(Embed):
    """Means over bags of tokens, without the padding token; a bag of nothing else gives zeros."""

    def __init__(self, count: int, features: int, padding: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(count, features, rngs=rngs)
        self.padding = padding

    def __call__(self, ids: Array) -> Array:  # (B, T) -> (B, features)
        kept = self.kept(ids)[..., None]
        total = jnp.where(kept, super().__call__(ids), 0).sum(1)
        return total / jnp.maximum(kept.sum(1), 1)

    def kept(self, ids: Array) -> Array:
        return ids != self.padding


class Bag(nnx.Module):
    """Means over bags of tokens, without the padding token."""

    def __init__(self, config: EmbeddingConfig, *, rngs: nnx.Rngs) -> None:
        self.bag = MeanBag(config.longest, config.width, config.padding, rngs=rngs)
        self.head = nnx.Linear(config.width, 3, rngs=rngs)

    def __call__(self, ids: Array) -> Array:  # (B, T) -> (B, 3)
        return self.head(self.bag(ids))


class BoundedEmbed(Embed):
    """Rows are cut to a largest norm before they are used; torch does so in place, outside the gradient."""

    def __init__(self, count: int, features: int, max_norm: float, *, rngs: nnx.Rngs) -> None:
        super().__init__(count, features, rngs=rngs)
        self.max_norm = max_norm

    def __call__(self, ids: Array) -> Array:  # (...,) -> (..., features)
        rows = super().__call__(ids)
        norms = jnp.linalg.norm(jax.lax.stop_gradient(rows), axis=-1, keepdims=True)
        cut = rows * jnp.where(norms > self.max_norm, self.max_norm / (norms + 1e-7), 1.0)  # torch's 1e-7
        return rows + jax.lax.stop_gradient(cut - rows)


class Bounded(nnx.Module):
    """An embedding whose rows are cut to a largest norm before they are used."""

    def __init__(self, config: EmbeddingConfig, *, rngs: nnx.Rngs) -> None:
        self.tokens = BoundedEmbed(config.longest, config.width, 1.5, rngs=rngs)
        self.head = nnx.Linear(config.width, 3, rngs=rngs)

    def __call__(self, ids: Array) -> Array:  # (B, T) -> (B, T, 3)
        return self.head(self.tokens(ids))


class FrequencyEmbed(Embed):
    """The gradient of a row is divided by how often its token occurs, and stops at the padding token."""

    def __init__(self, count: int, features: int, padding: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(count, features, rngs=rngs)
        self.padding = padding

    def __call__(self, ids: Array) -> Array:  # (...,) -> (..., features)
        rows = super().__call__(ids)
        scaled = rows * self.share(ids)[..., None]
        return scaled + jax.lax.stop_gradient(rows - scaled)

    def share(self, ids: Array) -> Array:
        counts = jnp.bincount(ids.ravel(), length=self.num_embeddings)
        return jnp.where(ids == self.padding, 0.0, 1.0 / counts[ids])


class Frequency(nnx.Module):
    """An embedding whose gradient is divided by how often a token occurs, and stops at the padding token."""

    def __init__(self, config: EmbeddingConfig, *, rngs: nnx.Rngs) -> None:
        self.tokens = FrequencyEmbed(config.longest, config.width, config.padding, rngs=rngs)
        self.head = nnx.Linear(config.width, 3, rngs=rngs)

    def __call__(self, ids: Array) -> Array:  # (B, T) -> (B, T, 3)
        return self.head(self.tokens(ids))
