"""Multi-head attention with torch's packed parameters, Flax NNX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

from models.networks.kernels_nnx import Linear
from models.networks.modules_nnx import default_float, dropout

if TYPE_CHECKING:
    from jax import Array


class MultiheadAttention(nnx.Module):
    """Attention of queries to keys and values, batch first.

    The rows 0 … d−1, d … 2d−1, 2d … 3d−1 of `in_proj_weight` project to q, k and v; head h takes features
    h·d/n … of each; the logits are q·k/√(d/n).

    Args:
        embed_dim: Width d of everything.
        num_heads: Number n of heads.
        rate: Dropout rate of the attention weights.
        rngs: Streams.

    Raises:
        AssertionError: The heads do not divide the width.
    """

    def __init__(self, embed_dim: int, num_heads: int, rate: float = 0.0, *, rngs: nnx.Rngs) -> None:
        assert embed_dim % num_heads == 0, (
            f"MultiheadAttention: a width of {embed_dim} does not split into {num_heads} heads"
        )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        bound = math.sqrt(6 / (4 * embed_dim))  # Xavier over the packed matrix
        shape, dtype = (3 * embed_dim, embed_dim), default_float()
        self.in_proj_weight = nnx.Param(jax.random.uniform(rngs.params(), shape, dtype, -bound, bound))
        self.in_proj_bias = nnx.Param(jnp.zeros(3 * embed_dim, dtype))
        self.out_proj = Linear(embed_dim, embed_dim, rngs=rngs)
        self.out_proj.bias = nnx.Param(jnp.zeros(embed_dim, dtype))
        self.dropout = dropout(rate, rngs)

    def __call__(self, query: Array, key: Array, value: Array) -> Array:  # (B, L, D), 2 × (B, S, D) -> (B, L, D)
        weights = jnp.split(self.in_proj_weight[...], 3)
        biases = jnp.split(self.in_proj_bias[...], 3)
        q, k, v = (
            self._heads(x @ weight.T + bias)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        scale = math.sqrt(1 / (self.embed_dim // self.num_heads))
        attention = self.dropout(jax.nn.softmax(jnp.einsum("bnld,bnsd->bnls", q * scale, k), axis=-1))
        attended = jnp.einsum("bnls,bnsd->blnd", attention, v)
        return self.out_proj(attended.reshape(query.shape))

    def _heads(self, x: Array) -> Array:  # (B, L, D) -> (B, n, L, D/n)
        return x.reshape(*x.shape[:2], self.num_heads, -1).swapaxes(1, 2)
