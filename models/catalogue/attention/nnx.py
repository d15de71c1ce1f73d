"""Attention with masks, Flax NNX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

from models.catalogue.embed_nnx import Embed

if TYPE_CHECKING:
    from jax import Array

    from models.catalogue.attention.config import AttentionConfig


class HeadsAttention(nnx.Module):
    """What the attention layers here share: one projection for q, k and v, cut into heads."""

    def __init__(self, config: AttentionConfig, *, rngs: nnx.Rngs) -> None:
        self.heads = config.heads
        self.qkv = nnx.Linear(config.width, 3 * config.width, rngs=rngs)

    def split(self, x: Array) -> tuple[Array, Array, Array]:  # (B, T, 3C) -> 3 x (B, heads, T, size)
        q, k, v = (self.in_heads(part) for part in jnp.split(x, 3, -1))
        return q, k, v

    def in_heads(self, x: Array) -> Array:  # (B, T, C) -> (B, heads, T, size)
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(0, 2, 1, 3)

    def merge(self, x: Array) -> Array:  # (B, heads, T, size) -> (B, T, C)
        return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)

    def scale(self, q: Array) -> float:
        return 1.0 / math.sqrt(q.shape[-1])

    def softmax(self, logits: Array) -> Array:
        return jax.nn.softmax(logits, -1)


class SelfAttention(HeadsAttention):
    """Causal self-attention with a padding mask (true: may be seen) and one projection for q, k and v."""

    def __init__(self, config: AttentionConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(config, rngs=rngs)
        self.out = nnx.Linear(config.width, config.width, rngs=rngs)

    def __call__(self, x: Array, keep: Array) -> Array:  # (B, T, C), (B, T) -> (B, T, C)
        q, k, v = self.split(self.qkv(x))
        logits = jnp.einsum("bhqd,bhkd->bhqk", q, k) * self.scale(q)
        weights = self.softmax(self.hide(logits, self.seen(keep)))
        return self.out(self.merge(weights @ v))

    def seen(self, keep: Array) -> Array:  # (B, T) -> (B, 1, T, T)
        length = keep.shape[1]
        return self.causal(length) & keep[:, None, None, :] | jnp.eye(length, dtype=bool)

    def causal(self, length: int) -> Array:  # (T, T)
        return jnp.tril(jnp.ones((length, length), bool))

    def hide(self, logits: Array, seen: Array) -> Array:
        return jnp.where(seen, logits, -jnp.inf)


def exact_attention(query: Array, key: Array, value: Array, mask: Array, **options: object) -> Array:
    """Attention in the run's precision: Flax's default without dropout hands over to JAX's, which is float32 inside."""
    logits = jnp.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
    weights = jax.nn.softmax(jnp.where(mask, logits, -jnp.inf), -1)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


class StockAttention(nnx.Module):
    """Flax's own layer; in its mask, true means: may be seen."""

    def __init__(self, config: AttentionConfig, dropout: float = 0.0, *, rngs: nnx.Rngs) -> None:
        self.attention = nnx.MultiHeadAttention(
            config.heads,
            config.width,
            dropout_rate=dropout,
            broadcast_dropout=False,
            attention_fn=nnx.dot_product_attention if dropout else exact_attention,
            decode=False,
            rngs=rngs,
        )

    def __call__(self, x: Array, keep: Array) -> Array:  # (B, T, C), (B, T) -> (B, T, C)
        return self.attention(x, mask=self.mask(keep))

    def mask(self, keep: Array) -> Array:  # (B, T) -> (B, 1, 1, T)
        return keep[:, None, None, :]


class Windows(nnx.Module):
    """Attention within windows that are shifted by half a window, so that the last one wraps around."""

    def __init__(self, config: AttentionConfig, *, rngs: nnx.Rngs) -> None:
        self.window = config.window
        self.shift = config.window // 2
        self.query = nnx.Linear(config.width, config.size, rngs=rngs)
        self.key = nnx.Linear(config.width, config.size, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, T, C), T a multiple of the window
        batch, length, width = x.shape
        rolled = self.roll(x, -self.shift).reshape(batch, -1, self.window, width)
        region = self.regions(length).reshape(-1, self.window)
        apart = region[:, :, None] != region[:, None, :]
        logits = self.query(rolled) @ self.key(rolled).swapaxes(-1, -2)
        weights = jax.nn.softmax(jnp.where(apart, -jnp.inf, logits), -1)
        return self.roll((weights @ rolled).reshape(x.shape), self.shift)

    def roll(self, x: Array, steps: int) -> Array:
        return jnp.roll(x, steps, 1)

    def regions(self, length: int) -> Array:  # (T,)
        """Numbers the stretches that may see each other: what wrapped around is apart from the end."""
        return (jnp.arange(length) >= length - self.shift).astype(jnp.int32)


class Alibi(HeadsAttention):
    """Attention that fades with distance, by a slope per head."""

    def __call__(self, x: Array) -> Array:  # (B, T, C), both ways
        q, k, v = self.split(self.qkv(x))
        steps = jnp.arange(x.shape[1])
        distance = jnp.abs(steps[None, :] - steps[:, None]).astype(x.dtype)
        logits = q @ k.swapaxes(-1, -2) * self.scale(q)
        logits = logits - jnp.asarray(self.slopes(), x.dtype)[:, None, None] * distance
        return self.merge(self.softmax(logits) @ v)

    def slopes(self) -> list[float]:
        """A geometric series for a power of two; for others, every second one of the next power's fills up."""
        below = 2 ** math.floor(math.log2(self.heads))
        found = [2.0 ** (-8.0 * (i + 1) / below) for i in range(below)]
        if self.heads > below:
            found += [2.0 ** (-4.0 * (2 * i + 1) / below) for i in range(self.heads - below)]
        return found


class Buckets(nnx.Module):
    """A learned bias per head and bucket of distance: exact for near steps, logarithmic for far ones."""

    def __init__(self, config: AttentionConfig, *, rngs: nnx.Rngs) -> None:
        self.buckets = config.buckets
        self.farthest = config.farthest
        self.bias = Embed(config.buckets, config.heads, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, T, C) -> (B, heads, T, C)
        steps = jnp.arange(x.shape[1])
        bias = self.bias(self.bucket(steps[None, :] - steps[:, None]))  # (T, T, heads)
        return jax.nn.softmax(bias.transpose(2, 0, 1), -1) @ x[:, None]

    def bucket(self, distance: Array) -> Array:
        half = self.buckets // 2  # the upper half is for later steps
        exact = half // 2
        far = jnp.abs(distance)
        ratio = jnp.log(jnp.maximum(far, 1) / exact) / math.log(self.farthest / exact)
        coarse = jnp.minimum(exact + (ratio * (half - exact)).astype(jnp.int32), half - 1)
        return jnp.where(far < exact, far, coarse) + half * (distance > 0)
