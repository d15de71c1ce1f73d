"""The sentence encoder in Flax NNX: BERT (Devlin et al. 2018, arXiv:1810.04805), mean pooling, unit length.

Layers are post-norm as in the paper; GELU is the exact one; every epsilon is written out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from jax import Array

    from models.minilm.config import MiniLMConfig


def _dense(inputs: int, outputs: int, rngs: nnx.Rngs) -> nnx.Linear:
    return nnx.Linear(inputs, outputs, param_dtype=jnp.result_type(float), rngs=rngs)


def _embed(count: int, config: MiniLMConfig, rngs: nnx.Rngs) -> nnx.Embed:
    return nnx.Embed(count, config.hidden_size, param_dtype=jnp.result_type(float), rngs=rngs)


def _norm(config: MiniLMConfig, rngs: nnx.Rngs) -> nnx.LayerNorm:
    # Flax's epsilon is 1e-6, and its default variance E[x²] − E[x]² loses digits.
    return nnx.LayerNorm(
        config.hidden_size,
        epsilon=config.layer_norm_eps,
        use_fast_variance=False,
        param_dtype=jnp.result_type(float),
        rngs=rngs,
    )


class Embeddings(nnx.Module):
    """Sum of word, position and segment vectors, normalised."""

    def __init__(self, config: MiniLMConfig, *, rngs: nnx.Rngs) -> None:
        self.word_embeddings = _embed(config.vocab_size, config, rngs)
        self.position_embeddings = _embed(config.max_position_embeddings, config, rngs)
        self.token_type_embeddings = _embed(config.type_vocab_size, config, rngs)
        self.LayerNorm = _norm(config, rngs)
        self.pad = config.pad_token_id

    def __call__(self, ids: Array) -> Array:  # (B, L) -> (B, L, D)
        words = self.word_embeddings(ids)
        words = jnp.where((ids == self.pad)[..., None], jax.lax.stop_gradient(words), words)  # torch's padding_idx
        positions = self.position_embeddings(jnp.arange(ids.shape[1]))
        return self.LayerNorm(words + self.token_type_embeddings(jnp.zeros_like(ids)) + positions)


class SelfAttention(nnx.Module):
    """softmax(q kᵀ/√(D/H)) v for H heads."""

    def __init__(self, config: MiniLMConfig, *, rngs: nnx.Rngs) -> None:
        self.heads = config.num_attention_heads
        self.query = _dense(config.hidden_size, config.hidden_size, rngs)
        self.key = _dense(config.hidden_size, config.hidden_size, rngs)
        self.value = _dense(config.hidden_size, config.hidden_size, rngs)

    def __call__(self, x: Array, mask: Array) -> Array:  # (B, L, D), (B, L) -> (B, L, D)
        q, k, v = (layer(x).reshape(*x.shape[:2], self.heads, -1) for layer in (self.query, self.key, self.value))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
        scores = jnp.where(mask[:, None, None, :], scores, jnp.finfo(scores.dtype).min)
        return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v).reshape(x.shape)


class Output(nnx.Module):
    """A dense layer, the residual, a norm."""

    def __init__(self, inputs: int, config: MiniLMConfig, *, rngs: nnx.Rngs) -> None:
        self.dense = _dense(inputs, config.hidden_size, rngs)
        self.LayerNorm = _norm(config, rngs)

    def __call__(self, h: Array, x: Array) -> Array:  # (B, L, I), (B, L, D) -> (B, L, D)
        return self.LayerNorm(self.dense(h) + x)


class Attention(nnx.Module):
    """Self-attention and what follows it."""

    def __init__(self, config: MiniLMConfig, *, rngs: nnx.Rngs) -> None:
        self.self = SelfAttention(config, rngs=rngs)
        self.output = Output(config.hidden_size, config, rngs=rngs)

    def __call__(self, x: Array, mask: Array) -> Array:  # (B, L, D), (B, L) -> (B, L, D)
        return self.output(self.self(x, mask), x)


class Intermediate(nnx.Module):
    """The wide half of the feed-forward network."""

    def __init__(self, config: MiniLMConfig, *, rngs: nnx.Rngs) -> None:
        self.dense = _dense(config.hidden_size, config.intermediate_size, rngs)

    def __call__(self, x: Array) -> Array:  # (B, L, D) -> (B, L, I)
        return jax.nn.gelu(self.dense(x), approximate=False)


class Layer(nnx.Module):
    """One encoder layer."""

    def __init__(self, config: MiniLMConfig, *, rngs: nnx.Rngs) -> None:
        self.attention = Attention(config, rngs=rngs)
        self.intermediate = Intermediate(config, rngs=rngs)
        self.output = Output(config.intermediate_size, config, rngs=rngs)

    def __call__(self, x: Array, mask: Array) -> Array:  # (B, L, D), (B, L) -> (B, L, D)
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class Encoder(nnx.Module):
    """Layers one after the other."""

    def __init__(self, config: MiniLMConfig, *, rngs: nnx.Rngs) -> None:
        self.layer = nnx.List([Layer(config, rngs=rngs) for _ in range(config.num_hidden_layers)])

    def __call__(self, x: Array, mask: Array) -> Array:  # (B, L, D), (B, L) -> (B, L, D)
        for layer in self.layer:
            x = layer(x, mask)
        return x


class Pooler(nnx.Module):
    """What the first token says about the whole."""

    def __init__(self, config: MiniLMConfig, *, rngs: nnx.Rngs) -> None:
        self.dense = _dense(config.hidden_size, config.hidden_size, rngs)

    def __call__(self, hidden: Array) -> Array:  # (B, L, D) -> (B, D)
        return jnp.tanh(self.dense(hidden[:, 0]))


class SentenceEncoder(nnx.Module):
    """Token ids to hidden states and to one vector of length 1 per sentence.

    Args:
      config: Sizes.
      rngs: Streams for the first weights.
    """

    def __init__(self, config: MiniLMConfig, *, rngs: nnx.Rngs) -> None:
        self.embeddings = Embeddings(config, rngs=rngs)
        self.encoder = Encoder(config, rngs=rngs)
        self.pooler = Pooler(config, rngs=rngs)

    def __call__(self, ids: Array, mask: Array) -> dict[str, Array]:  # (B, L), (B, L) -> (B, D) and others
        """Return what each token became, what the first token says, and the sentence's unit vector.

        Args:
          ids: Word pieces, int[B, L].
          mask: False for padding, bool[B, L].
        """
        hidden = self.encoder(self.embeddings(ids), mask)
        weight = mask[..., None].astype(hidden.dtype)
        mean = (hidden * weight).sum(1) / jnp.maximum(weight.sum(1), 1e-9)
        length = jnp.sqrt((mean * mean).sum(1, keepdims=True))
        return {"hidden": hidden, "pooled": self.pooler(hidden), "sentence": mean / jnp.maximum(length, 1e-12)}
