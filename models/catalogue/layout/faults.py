"""How ports get layouts wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from models.catalogue.layout.pair import HEADS, IMAGES, PIXELS, ROWS, TILE
from parity.faults import around, at, family, reading

if TYPE_CHECKING:
    from jax import Array


def _unpack_channels_last(original: Any, x: Array) -> Array:
    r = original.__self__.upscale
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height, width, r, r, -1).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height * r, width * r, -1)


def _cut_channels_last(original: Any, x: Array) -> Array:
    p = original.__self__.patch
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // p, p, width // p, p, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, -1, channels * p * p)


def _interleaved(original: Any, x: Array) -> Array:
    groups = original.__self__.groups
    return x.reshape(*x.shape[:3], -1, groups).swapaxes(3, 4).reshape(x.shape)


def _split_features_first(original: Any, x: Array) -> Array:
    return x.reshape(*x.shape[:2], -1, original.__self__.heads).transpose(0, 3, 1, 2)


def _repeated(original: Any, x: Array) -> Array:
    return x * jnp.repeat(original.__self__.pattern[...], original.__self__.heads)


FAULTS = family(
    "layout",
    at(
        *(IMAGES, "", "flatten-nhwc-order", "flattens (H, W, C) in place of (C, H, W)"),
        around("flatten", lambda original, x: x.reshape(len(x), -1)),
    ),
    at(
        *(IMAGES, "mix", "linear-square-untransposed", "a square weight copied without its transpose"),
        reading("kernel", lambda kernel: kernel.T),
    ),
    at(
        *(IMAGES, "conv", "conv-kernel-hw-swap", "rows and columns of a kernel exchanged"),
        reading("kernel", lambda kernel: kernel.swapaxes(0, 1)),
    ),
    at(
        *(IMAGES, "refine", "conv-kernel-io-swap", "input and output channels of a kernel exchanged"),
        reading("kernel", lambda kernel: kernel.swapaxes(2, 3)),
    ),
    at(
        *(HEADS, "", "head-merge-no-transpose", "(B, H, T, D) reshaped straight to (B, T, H D)"),
        around("merge", lambda original, x: x.reshape(x.shape[0], x.shape[2], -1)),
    ),
    at(
        *(HEADS, "", "head-split-order", "split into (D, H) in place of (H, D)"),
        around("split", _split_features_first),
    ),
    at(
        *(TILE, "", "repeat-vs-tile", "`jnp.repeat` for torch's `repeat`, which tiles"),
        around("__call__", _repeated),
    ),
    at(
        *(PIXELS, "upscale", "pixel-shuffle-order", "unpacks (r, r, C) where torch packs (C, r, r)"),
        around("__call__", _unpack_channels_last),
    ),
    at(
        *(PIXELS, "patches", "unfold-patch-order", "patches run over (rows, columns, channels)"),
        around("__call__", _cut_channels_last),
    ),
    at(
        *(PIXELS, "shuffle", "group-interleave", "interleaved in place of contiguous groups"),
        around("__call__", _interleaved),
    ),
    at(
        *(ROWS, "centre", "missing-keepdims", "a reduction without keepdims, broadcast along the other axis"),
        around("__call__", lambda original, x: x - x.mean(1)),
    ),
    at(
        *(ROWS, "density", "sum-over-const-as-mean", "a sum over a constant rewritten as a mean"),
        around("__call__", lambda original, x: x.mean(-1)),
        causes=("constant-differs",),
    ),
)
