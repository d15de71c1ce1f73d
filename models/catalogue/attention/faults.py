"""How ports get attention, positions and decoding wrong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from models.catalogue.attention.pair import (
    ALIBI,
    BUCKETS,
    DECODER,
    DROPPED_ATTENTION,
    LEARNED_POSITIONS,
    ROTARY,
    SELF_ATTENTION,
    STOCK_ATTENTION,
    WINDOWS,
)
from parity.faults import around, at, family, setting

if TYPE_CHECKING:
    from jax import Array


def _unscaled_width(original: Any, q: Array) -> float:
    """By the width of the model, not of a head."""
    return 1.0 / math.sqrt(q.shape[-1] * original.__self__.heads)


def _interleaved(original: Any, x: Array) -> tuple[Array, Array, Array]:
    """q, k and v side by side within every head."""
    heads = x.reshape(*x.shape[:2], original.__self__.heads, 3, -1).transpose(3, 0, 2, 1, 4)
    return heads[0], heads[1], heads[2]


def _in_pairs(original: Any, x: Array, cos: Array, sin: Array) -> Array:
    """Turns neighbours in place of halves."""
    even, odd = x[..., ::2], x[..., 1::2]
    return jnp.stack([even * cos - odd * sin, odd * cos + even * sin], -1).reshape(x.shape)


def _plain_steps(original: Any, length: int) -> Array:
    return jnp.arange(length, dtype=float)


def _whole_head(original: Any, x: Array) -> Array:
    """Turns the whole head."""
    rotary = original.__self__
    half = x.shape[-1] // 2
    angles = rotary.steps(x.shape[2])[:, None] * rotary.base ** (-jnp.arange(half, dtype=float) / half)
    return rotary.turn(x, jnp.cos(angles).astype(x.dtype), jnp.sin(angles).astype(x.dtype))


def _counted_from_left(original: Any, keep: Array) -> Array:
    return jnp.broadcast_to(jnp.arange(keep.shape[1]) + 2, keep.shape)


def _powers_only(original: Any) -> list[float]:
    """The formula for powers of two, for any number of heads."""
    heads = original.__self__.heads
    return [2.0 ** (-8.0 * (i + 1) / heads) for i in range(heads)]


def _one_sided(original: Any, distance: Array) -> Array:
    """Later steps share the buckets of earlier ones."""
    return original(-jnp.abs(distance))


FAULTS = family(
    "attention",
    at(
        *(SELF_ATTENTION, "", "attn-scale-dim", "scaled by the width of the model, not of a head"),
        around("scale", _unscaled_width),
    ),
    at(
        *(STOCK_ATTENTION, "attention", "attn-mask-polarity", "true means hidden, as in torch's layer, not seen"),
        around("__call__", lambda original, x, mask: original(x, mask=~mask)),
    ),
    at(
        *(SELF_ATTENTION, "", "attn-finite-mask-value", "-1e4 in place of minus infinity"),
        around("hide", lambda original, logits, seen: jnp.where(seen, logits, -1e4)),
    ),
    at(
        *(SELF_ATTENTION, "", "causal-off-by-one", "a step sees the next one"),
        around("causal", lambda original, length: jnp.tril(jnp.ones((length, length), bool), 1)),
    ),
    at(
        *(SELF_ATTENTION, "", "qkv-fused-order", "q, k and v side by side within every head"),
        around("split", _interleaved),
    ),
    at(
        *(STOCK_ATTENTION, "attention/key", "key-bias-dropped", "the bias of the keys, to which softmax is blind"),
        setting(bias=None, use_bias=False),
        checks=("carry",),
    ),
    at(
        *(ROTARY, "rotary", "rope-pairing", "neighbours are turned in place of halves"),
        around("turn", _in_pairs),
    ),
    at(
        *(ROTARY, "rotary", "rope-partial-dim", "the whole head is turned in place of a part"),
        around("__call__", _whole_head),
    ),
    at(
        *(ROTARY, "rotary", "rope-base", "another base of the angles"),
        setting(base=10000.0),
        causes=("constant-differs",),
    ),
    at(
        *(ROTARY, "rotary", "rope-scaling-ignored", "positions beyond the context count in full"),
        around("steps", _plain_steps),
        causes=("constant-differs",),
    ),
    at(
        *(LEARNED_POSITIONS, "", "position-ids-padding", "positions count the padding too"),
        around("where", _counted_from_left),
    ),
    at(
        *(LEARNED_POSITIONS, "", "optional-arg-default", "another default of the segment types"),
        around("default_types", lambda original, ids: jnp.ones_like(ids)),
    ),
    at(
        *(DECODER, "", "cache-overflow-clamp", "beyond its end, the last slot of the cache is written"),
        around("slot", lambda original, step: step),
    ),
    at(
        *(DECODER, "", "cache-unfilled-attended", "empty slots of the cache are attended to"),
        around("filled", lambda original, step: jnp.ones_like(original(step))),
    ),
    at(
        *(DECODER, "", "cache-position-offset", "positions in decoding are off by one"),
        around("position", lambda original, step: original(step) + 1),
        causes=("position-offset",),
    ),
    at(
        *(ALIBI, "", "alibi-nonpow2-heads", "the slopes of powers of two for any number of heads"),
        around("slopes", _powers_only),
    ),
    at(
        *(BUCKETS, "", "relpos-bucket", "later steps share the buckets of earlier ones"),
        around("bucket", _one_sided),
    ),
    at(
        *(WINDOWS, "", "window-shift-mask", "what wraps around is not told apart from the end"),
        around("regions", lambda original, length: jnp.zeros_like(original(length))),
        causes=("attn-mask-missing",),
    ),
    at(
        *(DROPPED_ATTENTION, "attention", "attn-dropout-broadcast", "one mask of dropout for all heads"),
        setting(broadcast_dropout=True),
    ),
)
