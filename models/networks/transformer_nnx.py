"""Transformer encoder and positional encoding, Flax NNX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx

from models.networks import modules_nnx
from models.networks import pointwise_nnx as F
from models.networks.activations_nnx import Activation
from models.networks.kernels_nnx import Linear
from models.networks.modules_nnx import Buffer, Identity, RngsLike, Sequential, as_rngs, default_float
from models.networks.multihead_nnx import MultiheadAttention
from models.networks.norms_nnx import LayerNorm

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float

    from models.networks.config import TransformerConfig

_HIDDEN_ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu}


class TransformerEncoderLayer(nnx.Module):
    """Post-norm self-attention and feed-forward.

    Args:
        cfg: Widths, heads, dropout and activation.
        rngs: Streams.

    Raises:
        RuntimeError: The hidden activation is neither ReLU nor GELU.
    """

    def __init__(self, cfg: TransformerConfig, *, rngs: nnx.Rngs) -> None:
        d_model = cfg.d_model
        self.activation = _HIDDEN_ACTIVATIONS.get(cfg.hidden_activation.lower())
        if self.activation is None:
            raise RuntimeError(
                f"TransformerLayer: hidden_activation must be ReLU or GELU, got {cfg.hidden_activation!r}"
            )
        self.self_attn = MultiheadAttention(d_model, cfg.nhead, cfg.dropout, rngs=rngs)
        self.linear1 = Linear(d_model, cfg.dim_ff, rngs=rngs)
        self.dropout = modules_nnx.dropout(cfg.dropout, rngs)
        self.linear2 = Linear(cfg.dim_ff, d_model, rngs=rngs)
        self.norm1 = LayerNorm(d_model)
        self.norm2 = LayerNorm(d_model)
        self.dropout1 = modules_nnx.dropout(cfg.dropout, rngs)
        self.dropout2 = modules_nnx.dropout(cfg.dropout, rngs)

    def __call__(self, x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        assert self.activation is not None
        x = self.norm1(x + self.dropout1(self.self_attn(x, x, x)))
        h = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return self.norm2(x + self.dropout2(h))


class TransformerEncoder(nnx.Module):
    """Encoder layers one after the other, all of them copies of the first weights of one.

    Args:
        prototype: The layer to copy.
        num_layers: Number of copies.
        rngs: Streams, for the dropout alone.
    """

    def __init__(self, prototype: TransformerEncoderLayer, num_layers: int, *, rngs: nnx.Rngs) -> None:
        self.layers = nnx.List([_copied(prototype, rngs) for _ in range(num_layers)])

    def __call__(self, x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        for layer in self.layers:
            x = layer(x)
        return x


def _copied(prototype: TransformerEncoderLayer, rngs: nnx.Rngs) -> TransformerEncoderLayer:
    """The same weights; a plain copy would also drop the same elements as the prototype's other copies."""
    layer = nnx.clone(prototype)
    for _, part in nnx.iter_modules(layer):
        if isinstance(part, nnx.Dropout):
            part.rngs = rngs.dropout.fork()
    return layer


class TransformerLayer(nnx.Module):
    """Projection, post-norm encoder layers without mask or positions, projection and activation.

    `transformer_layer` is the prototype of which the layers start as copies; it never runs.

    Args:
        input_dim: Width of the input; equal to `d_model` it leaves the first projection out.
        output_dim: Width of the output; 0 or None leaves the last projection out, not its activation.
        cfg: The layers.
        rngs: Streams.

    Raises:
        RuntimeError: The hidden activation is neither ReLU nor GELU.

    Example:
        >>> from models.networks import TransformerConfig
        >>> cfg = TransformerConfig(8, 2, 12, 2, output_activation="Tanh")
        >>> TransformerLayer(3, 5, cfg, rngs=0)(jnp.ones((2, 7, 3))).shape
        (2, 7, 5)
    """

    def __init__(self, input_dim: int, output_dim: int | None, cfg: TransformerConfig, *, rngs: RngsLike) -> None:
        rngs = as_rngs(rngs)
        d_model = cfg.d_model
        self.in_proj: nnx.Module = Identity()
        if input_dim != d_model:
            activation = Activation(cfg.hidden_activation, rngs=rngs)
            self.in_proj = Sequential([Linear(input_dim, d_model, rngs=rngs), LayerNorm(d_model), activation])
        self.out_proj = Sequential(
            [
                *([Linear(d_model, output_dim, rngs=rngs)] if output_dim else []),
                Activation(cfg.output_activation, rngs=rngs),
            ]
        )
        self.transformer_layer = TransformerEncoderLayer(cfg, rngs=rngs)
        self.transformer = TransformerEncoder(self.transformer_layer, cfg.n_layers, rngs=rngs)

    def __call__(self, x: Float[Array, "B L input_dim"]) -> Float[Array, "B L output_dim"]:
        return self.out_proj(self.transformer(self.in_proj(x)))


class PositionalEncoding(nnx.Module):
    """Add sines and cosines of the positions, then drop out.

    Column 2i of the table is sin(pos·w_i) and column 2i + 1 cos(pos·w_i), w_i = exp(−2i·ln(10000)/d_model).

    Args:
        d_model: Width; even.
        dropout: Rate.
        max_len: Length of the table.
        rngs: Streams, for the dropout alone.

    Raises:
        RuntimeError: An odd width; or, on a call, a longer input.

    Example:
        >>> PositionalEncoding(4, 0.0, 5, rngs=0)(jnp.zeros((1, 2, 4)))[0, 0]
        Array([0., 1., 0., 1.], dtype=float32)
    """

    def __init__(self, d_model: int, dropout: float, max_len: int, *, rngs: RngsLike) -> None:
        if d_model % 2:
            raise RuntimeError(f"PositionalEncoding: d_model must be even, got {d_model}")
        self.dropout = modules_nnx.dropout(dropout, as_rngs(rngs))
        dtype = default_float()
        position = jnp.arange(max_len, dtype=dtype)[:, None]
        angle = position * jnp.exp(jnp.arange(0, d_model, 2, dtype=dtype) * (-math.log(10000.0) / d_model))
        table = jnp.stack([jnp.sin(angle), jnp.cos(angle)], -1)
        self.pe = Buffer(table.reshape(1, max_len, d_model))  # (1, max_len, d_model)

    def __call__(self, x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        if x.shape[1] > self.pe.shape[1]:
            raise RuntimeError(
                f"PositionalEncoding: the table has {self.pe.shape[1]} positions, got an input of length {x.shape[1]}"
            )
        return self.dropout(x + self.pe[...][:, : x.shape[1]])
