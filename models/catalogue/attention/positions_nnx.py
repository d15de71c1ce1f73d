"""Positions and decoding with a cache, Flax NNX."""

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


class Rotary(nnx.Module):
    """Turns the first features of every head by the position, in halves, more slowly beyond the context."""

    def __init__(self, config: AttentionConfig) -> None:
        self.rotated = config.rotated
        self.base = config.base
        self.context = config.context
        self.stretch = config.stretch

    def __call__(self, x: Array) -> Array:  # (B, heads, T, size), both ways
        turned, still = x[..., : self.rotated], x[..., self.rotated :]
        angles = self.angles(x.shape[2]).astype(x.dtype)
        return jnp.concatenate([self.turn(turned, jnp.cos(angles), jnp.sin(angles)), still], -1)

    def turn(self, x: Array, cos: Array, sin: Array) -> Array:
        first, second = jnp.split(x, 2, -1)
        return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)

    def angles(self, length: int) -> Array:  # (T, rotated / 2)
        half = self.rotated // 2
        rates = self.base ** (-jnp.arange(half, dtype=float) / half)
        return self.steps(length)[:, None] * rates

    def steps(self, length: int) -> Array:  # (T,)
        """Positions beyond the context count only in part."""
        steps = jnp.arange(length, dtype=float)
        return jnp.where(steps < self.context, steps, self.context + (steps - self.context) / self.stretch)


class RotaryAttention(nnx.Module):
    """Causal attention between turned queries and keys."""

    def __init__(self, config: AttentionConfig, *, rngs: nnx.Rngs) -> None:
        self.heads = config.heads
        self.qk = nnx.Linear(config.width, 2 * config.width, use_bias=False, rngs=rngs)
        self.rotary = Rotary(config)

    def __call__(self, x: Array) -> Array:  # (B, T, C), both ways
        q, k, v = (self.in_heads(part) for part in (*jnp.split(self.qk(x), 2, -1), x))
        q, k = self.rotary(q), self.rotary(k)
        logits = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
        past = jnp.tril(jnp.ones(logits.shape[-2:], bool))
        weights = jax.nn.softmax(jnp.where(past, logits, -jnp.inf), -1)
        return (weights @ v).transpose(0, 2, 1, 3).reshape(x.shape)

    def in_heads(self, x: Array) -> Array:  # (B, T, C) -> (B, heads, T, size)
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(0, 2, 1, 3)


class LearnedPositions(nnx.Module):
    """Tokens with positions that count only what is no padding, offset by two, and optional segment types."""

    def __init__(self, config: AttentionConfig, *, vocabulary: int = 13, longest: int = 11, rngs: nnx.Rngs) -> None:
        self.tokens = Embed(vocabulary, config.size, rngs=rngs)
        self.positions = Embed(longest, config.size, rngs=rngs)
        self.types = Embed(2, config.size, rngs=rngs)

    def __call__(self, ids: Array, keep: Array, types: Array | None = None) -> Array:  # (B, T) -> (B, T, size)
        types = self.default_types(ids) if types is None else types
        return jnp.tanh(self.tokens(ids) + self.positions(self.where(keep)) + self.types(types))

    def where(self, keep: Array) -> Array:  # (B, T), both ways
        return jnp.maximum(jnp.cumsum(keep, 1) - 1, 0) + 2

    def default_types(self, ids: Array) -> Array:
        return jnp.zeros_like(ids)


class Decoder(nnx.Module):
    """Attention over the last `window` steps, one step at a time, with a cache that is written round and round."""

    def __init__(self, config: AttentionConfig, *, longest: int = 11, rngs: nnx.Rngs) -> None:
        self.window = config.window
        self.positions = Embed(longest, config.size, rngs=rngs)
        self.query = nnx.Linear(config.size, config.size, rngs=rngs)
        self.key = nnx.Linear(config.size, config.size, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, T, size), both ways
        batch, length, size = x.shape
        cache = jnp.zeros((2, batch, self.window, size), x.dtype)  # keys and values
        outputs: list[Array] = []
        for step in range(length):
            output, cache = self.decode(cache, x[:, step], step)
            outputs.append(output)
        return jnp.stack(outputs, 1)

    def decode(self, cache: Array, x: Array, step: int) -> tuple[Array, Array]:  # (B, size) -> (B, size)
        value = x + self.positions(self.position(step))
        new = jnp.stack([self.key(value), value])[:, :, None]
        cache = jax.lax.dynamic_update_slice(cache, new, (0, 0, self.slot(step), 0))
        logits = jnp.einsum("bd,bwd->bw", self.query(value), cache[0])
        weights = jax.nn.softmax(jnp.where(self.filled(step), logits, -jnp.inf), -1)
        return jnp.einsum("bw,bwd->bd", weights, cache[1]), cache

    def position(self, step: int) -> Array:
        return jnp.asarray(step)

    def slot(self, step: int) -> int:
        """Where a step is kept: `dynamic_update_slice` would put everything beyond the end into the last slot."""
        return step % self.window

    def filled(self, step: int) -> Array:  # (window,)
        return jnp.arange(self.window) <= step
