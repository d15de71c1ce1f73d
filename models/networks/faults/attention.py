"""Mistakes in attention, positions, patches and what weighs pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from models.networks.attention_nnx import Attention1d, head_major_attention
from models.networks.faults import pairs
from models.networks.faults.placing import put
from models.networks.multihead_nnx import MultiheadAttention
from models.networks.transformer_nnx import TransformerEncoderLayer
from parity.faults import Edit, around, both, family, reading, setting

if TYPE_CHECKING:
    from jax import Array

_FIRST = "transformer/layers/0"
_ATTENTION = f"{_FIRST}/self_attn"


def _attending(*, scale: str = "head", merged: str = "heads", axis: int = -1) -> Edit:
    """Multi-head attention with one thing changed."""

    def call(original: Any, query: Array, key: Array, value: Array) -> Array:
        module: MultiheadAttention = original.__self__
        heads = module._heads  # pyright: ignore[reportPrivateUsage]  # what splits them stays as it is
        weights, biases = jnp.split(module.in_proj_weight[...], 3), jnp.split(module.in_proj_bias[...], 3)
        given = zip((query, key, value), weights, biases, strict=True)
        q, k, v = (heads(x @ weight.T + bias) for x, weight, bias in given)
        width = {"head": module.embed_dim // module.num_heads, "model": module.embed_dim, "none": 1}[scale]
        logits = jnp.einsum("bnld,bnsd->bnls", q / math.sqrt(width), k)
        attended = jnp.einsum("bnls,bnsd->bnld", module.dropout(jax.nn.softmax(logits, axis=axis)), v)
        attended = attended.swapaxes(1, 2) if merged == "heads" else attended
        return module.out_proj(attended.reshape(query.shape))

    return around("__call__", call)


def _by_features(original: Any, x: Array) -> Array:
    """Split into (d, n) in place of (n, d)."""
    return x.reshape(*x.shape[:2], -1, original.__self__.num_heads).transpose(0, 3, 1, 2)


def _side_by_side(packed: Array) -> Array:
    """Rows of q, k and v side by side within every head, of three heads."""
    return packed.reshape(3, 3, -1, *packed.shape[1:]).swapaxes(0, 1).reshape(packed.shape)


def _norm_in_front(original: Any, x: Array) -> Array:
    """The norms in front of attention and feed-forward, in place of behind."""
    layer: TransformerEncoderLayer = original.__self__
    assert layer.activation is not None
    h = layer.norm1(x)
    x = x + layer.dropout1(layer.self_attn(h, h, h))
    return x + layer.dropout2(layer.linear2(layer.dropout(layer.activation(layer.linear1(layer.norm2(x))))))


def _one_layer_less(original: Any, x: Array) -> Array:
    return original.__self__.layers[0](x)


def _packed_major(original: Any, x: Array) -> Array:
    """Reads all heads' q, then all k, then all v."""
    attention: Attention1d = original.__self__
    qkv = attention.unshuffle(attention.qkv(x))
    n, d = attention.nhead, qkv.shape[1] // (3 * attention.nhead)
    sorted_by_head = qkv.reshape(len(x), 3, n, d, -1).swapaxes(1, 2).reshape(qkv.shape)
    return x + attention.proj_out(attention.shuffle(head_major_attention(sorted_by_head, n)))


def _halves(original: Any, x: Array) -> Array:
    """Sines in the first half of the columns, cosines in the second."""
    pe = original.__self__.pe[...][:, : x.shape[1]]
    return x + jnp.concatenate([pe[..., ::2], pe[..., 1::2]], -1)


def _next_position(original: Any, x: Array) -> Array:
    return x + original.__self__.pe[...][:, 1 : 1 + x.shape[1]]


def _channel_major(original: Any, patches: Array) -> Array:
    """Patches of (C, p, p), as `F.unfold` has them."""
    vit = original.__self__
    (C, H, W), p = vit.obs_shape, vit.patch_size
    cut = patches.reshape(-1, H // p, W // p, C, p, p)
    return cut.transpose(0, 3, 1, 4, 2, 5).reshape(-1, C, H, W)


def _column_by_column(original: Any, x: Array) -> Array:
    tokens = original.__self__.patch_emb_layer(x)
    return tokens.swapaxes(2, 3).reshape(*tokens.shape[:2], -1).swapaxes(1, 2)


def _last_token(vit: Any, x: Array) -> Array:
    tokens = jnp.concatenate([jnp.broadcast_to(vit.cls_token[...], (len(x), 1, vit.d_model)), vit.patch_embed(x)], 1)
    pos = jnp.concatenate([vit.cls_pos_emb[...], vit.pos_emb[...]], 1)
    return vit.encoder_norm(vit.encoder_blocks[0](tokens, pos))[:, -1]


def _down_first(original: Any, x: Array) -> Array:
    return original(x)[..., ::-1]


FAULTS = family(
    "networks: attention",
    put(
        *(pairs.TRANSFORMER, _ATTENTION, "attn-scale-dim", "scaled by the width of the model"),
        _attending(scale="model"),
    ),
    put(
        *(pairs.TRANSFORMER, _ATTENTION, "attn-scale-missing", "logits are not scaled"),
        _attending(scale="none"),
        causes=("attn-scale-dim",),
    ),
    put(
        *(pairs.TRANSFORMER, _ATTENTION, "attn-softmax-axis", "a softmax over the queries"),
        _attending(axis=-2),
        causes=("softmax-axis",),
    ),
    put(
        *(pairs.TRANSFORMER, _ATTENTION, "head-merge-no-transpose", "(B, n, L, d) reshaped straight to (B, L, n d)"),
        _attending(merged="straight"),
    ),
    put(
        *(pairs.TRANSFORMER, _ATTENTION, "head-split-order", "split into (d, n) in place of (n, d)"),
        around("_heads", _by_features),
    ),
    put(*(pairs.TRANSFORMER, _ATTENTION, "head-count", "two heads in place of three"), setting(num_heads=2)),
    put(
        *(pairs.TRANSFORMER, _ATTENTION, "qkv-fused-order", "q, k and v side by side within every head"),
        both(reading("in_proj_weight", _side_by_side), reading("in_proj_bias", _side_by_side)),
    ),
    put(
        *(pairs.DROPPED_ATTENTION, _ATTENTION, "attn-dropout-broadcast", "one mask of dropout for all heads"),
        lambda attention: setting(broadcast_dims=(1,))(attention.dropout),
    ),
    put(
        *(pairs.TRANSFORMER, _FIRST, "pre-norm", "norms in front, in place of behind"),
        around("__call__", _norm_in_front),
        causes=("norm-order",),
    ),
    put(
        *(pairs.TRANSFORMER, "transformer", "loop-bound", "the last layer does not run"),
        around("__call__", _one_layer_less),
    ),
    put(
        *(pairs.ATTENTION, "", "qkv-packed-order", "all q, then all k, then all v, in place of head after head"),
        around("__call__", _packed_major),
        causes=("qkv-fused-order",),
    ),
    put(
        *(pairs.ATTENTION, "", "attn-residual-dropped", "attention in place of what is added to it"),
        around("__call__", lambda original, x: original(x) - x),
        causes=("operand-dropped",),
    ),
    put(*(pairs.POSITIONS, "", "position-offset", "positions count from one"), around("__call__", _next_position)),
    put(
        *(pairs.POSITIONS, "", "position-halves", "sines in one half and cosines in the other"),
        around("__call__", _halves),
        causes=("rope-pairing", "glu-halves-interleaved"),
    ),
    put(
        *(pairs.POSITIONS_NARROWED, "", "table-low-precision", "a table in float32"),
        reading("pe", lambda table: table.astype("float32").astype(table.dtype)),
        checks=("dtypes",),
        causes=("f32-island-in-f64",),
    ),
    put(
        *(pairs.VISION, "encoder_blocks/0", "positions-in-values", "positions added to the values too"),
        around("__call__", lambda original, x, pos: original(x + pos, 0 * pos)),
        causes=("wrong-variable", "operand-dropped"),
    ),
    put(
        *(pairs.VISION, "", "class-token-last", "the last token read, not the class token"),
        around("_encode", lambda original, x: _last_token(original.__self__, x)),
        causes=("wrong-variable", "value-lost", "index-differs"),
    ),
    put(*(pairs.DRAWING, "", "unfold-patch-order", "patches of (C, p, p)"), around("unpatchify", _channel_major)),
    put(
        *(pairs.PATCHES, "", "patches-by-column", "patches column by column"),
        around("__call__", _column_by_column),
        causes=("transpose-missing", "flatten-nhwc-order", "transpose-order"),
    ),
    put(
        *(pairs.SPATIAL, "", "softmax-temperature", "the temperature is left out"),
        setting(temperature=1.0),
        causes=("setting-differs", "constant-differs"),
    ),
    put(
        *(pairs.SPATIAL, "", "coordinate-order", "y before x"),
        around("__call__", _down_first),
        causes=("flip-missing", "operand-order", "concat-order", "transpose-order"),
    ),
    put(
        *(pairs.STRAIGHT, "", "straight-through-lost", "the argmax without the softmax's gradient"),
        around("__call__", lambda original, x: jax.lax.stop_gradient(original(x))),
        checks=("input_grad",),
        causes=("stop-gradient-extra",),
    ),
)
