"""How ports get convolutions, padding and pooling wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from models.catalogue.convolution.pair import CAUSAL, CONVOLUTIONS, PADDED, POOLS, TRANSPOSED, WINDOW_MEAN
from parity.faults import around, at, deriving, family, reading, setting

if TYPE_CHECKING:
    from jax import Array


def _input_dilated(original: Any, x: Array) -> Array:
    """Spreads the input in place of the kernel, cropped to the right shape."""
    conv = original.__self__
    found = lax.conv_general_dilated(
        *(x, conv.kernel[...], (1, 1), ((1, 1), (1, 1))),
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return found[:, : x.shape[1], : x.shape[2]]


def _zeros_mirrored(original: Any, x: Array) -> Array:
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")


def _without_padding_in_count(original: Any, x: Array) -> Array:
    undo = setting(count_include_pad=False)(original.__self__)
    try:
        return original(x)
    finally:
        undo()


def _resized_bins(original: Any, x: Array) -> Array:
    pool = original.__self__
    return jax.image.resize(x, (len(x), pool.rows, pool.columns, x.shape[3]), "linear")


def _counting_beyond(original: Any, x: Array) -> Array:
    """Divides every window by its full size, cells beyond the image included."""
    pool = original.__self__
    own = [(pool.padding, pool.padding + pool.extra(size)) for size in x.shape[1:3]]
    return pool.sums(x, (own[0], own[1])) / pool.window**2


FAULTS = family(
    "convolution",
    at(
        *(CONVOLUTIONS, "plain", "conv-default-same", "Flax's default padding, SAME, in place of none"),
        setting(padding="SAME"),
    ),
    at(
        *(WINDOW_MEAN, "pool", "pool-default-stride", "Flax's default stride, one, in place of the window's size"),
        setting(stride=1),
    ),
    at(
        *(POOLS, "largest", "maxpool-zero-pad", "zeros around the image in place of minus infinity"),
        around("outside", lambda original: 0.0),
    ),
    at(
        *(POOLS, "average", "avgpool-count-pad", "the padding does not count"),
        around("__call__", _without_padding_in_count),
    ),
    at(
        *(POOLS, "average", "pool-ceil-mode", "cells that `ceil_mode` adds count in the mean"),
        around("__call__", _counting_beyond),
    ),
    at(
        *(POOLS, "adaptive", "adaptive-pool-bins", "uneven bins replaced by a resize"),
        around("__call__", _resized_bins),
    ),
    at(
        *(TRANSPOSED, "odd", "convtranspose-no-flip", "the kernel is not flipped"),
        reading("kernel", lambda kernel: kernel[::-1, ::-1]),
    ),
    at(
        *(TRANSPOSED, "odd", "convtranspose-same-shift", "SAME: the right shape, one pixel aside"),
        setting(padding="SAME"),
    ),
    at(
        *(TRANSPOSED, "odd", "convtranspose-output-padding", "the output padding is filled with nothing"),
        around("__call__", lambda original, x: original(x).at[:, -1:].set(0).at[:, :, -1:].set(0)),
    ),
    at(
        *(CONVOLUTIONS, "dilated", "dilation-kind-swapped", "the input is spread in place of the kernel"),
        around("__call__", _input_dilated),
    ),
    at(
        *(PADDED, "mirror", "pad-reflect-symmetric", "the edge itself is repeated"),
        around("mirror", _zeros_mirrored),
    ),
    at(
        *(PADDED, "pad", "pad-order-reversed", "torch names the last axis first"),
        setting(rows=(1, 2), columns=(3, 0)),
    ),
    at(
        *(CAUSAL, "conv", "causal-pad-side", "padding on both sides: the future leaks"),
        setting(padding=((2, 2),)),
    ),
    at(
        *(CONVOLUTIONS, "dilated", "conv-extra-bias", "`bias=False` lost: a bias that starts at zero"),
        deriving(bias=lambda conv: nnx.Param(jnp.zeros(conv.out_features)), use_bias=lambda conv: True),
        checks=("carry",),
    ),
)
