"""Mistakes in dense layers, convolutions and what moves positions into channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from flax import nnx
from jax import lax

from models.networks.faults import pairs
from models.networks.faults.placing import put
from parity.faults import around, deriving, family, reading, setting
from parity.faults.generic import GENERIC

if TYPE_CHECKING:
    from jax import Array

_ANY = {fault.id.removeprefix("any-"): fault for fault in GENERIC}


def _with_bias(conv: Any) -> nnx.Param:
    return nnx.Param(jnp.zeros(conv.out_features))


def _input_dilated(original: Any, x: Array) -> Array:
    """Spreads the input in place of the kernel, cropped to the right shape."""
    conv = original.__self__
    edges = ((1, 1), (1, 1))
    found = lax.conv_general_dilated(
        *(x, conv.kernel[...], (1, 1), edges),
        lhs_dilation=(2, 2),
        dimension_numbers=("NCHW", "HWIO", "NCHW"),
        feature_group_count=conv.feature_group_count,
    )
    return found[:, :, : x.shape[2], : x.shape[3]] + conv.bias[...][:, None, None]


def _woven(original: Any, x: Array) -> Array:
    """Channels of the groups in turn."""
    y = original(x)
    groups = y.reshape(len(y), original.__self__.feature_group_count, -1, *y.shape[2:])
    return groups.swapaxes(1, 2).reshape(y.shape)


def _emptied(original: Any, x: Array) -> Array:
    return original(x).at[:, :, -1:].set(0).at[:, :, :, -1:].set(0)


def _unpacked_channels_last(original: Any, x: Array) -> Array:
    """Unpacks (s, s, C) where torch packs (C, s, s)."""
    s, (batch, channels, height, width) = original.__self__.upscale_factor, x.shape
    split = x.reshape(batch, s, s, channels // s**2, height, width).transpose(0, 3, 4, 1, 5, 2)
    return split.reshape(batch, channels // s**2, height * s, width * s)


def _packed_channels_last(original: Any, x: Array) -> Array:
    """Packs (s, s, C) where torch packs (C, s, s)."""
    s, (batch, channels, height, width) = original.__self__.downscale_factor, x.shape
    split = x.reshape(batch, channels, height // s, s, width // s, s).transpose(0, 3, 5, 1, 2, 4)
    return split.reshape(batch, channels * s**2, height // s, width // s)


def _steps_first(original: Any, x: Array) -> Array:
    u, (batch, channels, length) = original.__self__.upscale_factor, x.shape
    return x.reshape(batch, u, channels // u, length).transpose(0, 2, 3, 1).reshape(batch, channels // u, length * u)


def _halves_first(original: Any, x: Array) -> Array:
    u, (batch, channels, length) = original.__self__.downscale_factor, x.shape
    return x.reshape(batch, channels, u, length // u).reshape(batch, channels * u, length // u)


FAULTS = family(
    "networks: layers",
    put(
        *(pairs.DENSE, "linear", "linear-square-untransposed", "a square weight copied without its transpose"),
        _ANY["linear-square-untransposed"].edit,
    ),
    put(
        *(pairs.NARROWED, "linear", "f32-island-in-f64", "a layer that computes in float32"),
        _ANY["f32-island-in-f64"].edit,
        checks=("dtypes",),
    ),
    put(*(pairs.DENSE, "linear", "bias-dropped", "a bias left at zero"), _ANY["bias-dropped"].edit),
    put(*(pairs.DENSE, "linear", "bias-twice", "a bias added twice"), _ANY["bias-twice"].edit),
    put(
        *(pairs.DENSE, "linear", "conversion-downcast", "weights stored in half precision"),
        _ANY["conversion-downcast"].edit,
    ),
    put(
        *(pairs.DENSE, "linear", "stop-gradient-extra", "the gradient stops at a layer"),
        _ANY["stop-gradient-extra"].edit,
        checks=("param_grad",),
    ),
    put(
        *(pairs.DENSE, "linear", "grad-wrt-subset", "one leaf is left out of the differentiation"),
        reading("bias", lax.stop_gradient),
        checks=("param_grad",),
        causes=("stop-gradient-extra",),
    ),
    put(
        *(pairs.WITHOUT_BIAS, "linear", "linear-extra-bias", "`bias=False` lost: a bias that starts at zero"),
        deriving(bias=_with_bias),
        checks=("carry",),
    ),
    put(
        *(pairs.STRIDED, "conv", "conv-default-same", "SAME, which pads even sizes behind alone"),
        setting(padding=((0, 1), (0, 1))),
        causes=("conv-padding",),
    ),
    put(
        *(pairs.STRIDED, "conv", "conv-kernel-hw-swap", "rows and columns of a kernel exchanged"),
        reading("kernel", lambda kernel: kernel.swapaxes(0, 1)),
    ),
    put(
        *(pairs.STRIDED, "conv", "conv-kernel-io-swap", "input and output channels of a kernel exchanged"),
        reading("kernel", lambda kernel: kernel.swapaxes(2, 3)),
    ),
    put(
        *(pairs.STRIDED, "conv", "conv-kernel-flip", "a kernel turned round, as a convolution's in signal processing"),
        reading("kernel", lambda kernel: kernel[::-1, ::-1]),
    ),
    put(
        *(pairs.DILATED, "conv", "dilation-kind-swapped", "the input is spread in place of the kernel"),
        around("__call__", _input_dilated),
    ),
    put(
        *(pairs.REFLECTED, "conv", "pad-reflect-symmetric", "the edge itself is repeated"),
        setting(padding_mode="replicate"),
    ),
    put(
        *(pairs.REFLECTED, "conv", "pad-mode-dropped", "zeros around the image"),
        setting(padding_mode="zeros"),
        causes=("pad-reflect-symmetric",),
    ),
    put(
        *(pairs.CIRCULAR, "conv", "pad-circular-reflected", "the image is mirrored, not wrapped round"),
        setting(padding_mode="reflect"),
        causes=("pad-reflect-symmetric",),
    ),
    put(
        *(pairs.CIRCULAR, "conv", "conv-extra-bias", "`bias=False` lost: a bias that starts at zero"),
        deriving(bias=_with_bias),
        checks=("carry",),
    ),
    put(
        *(pairs.TRANSPOSED, "conv", "convtranspose-no-flip", "the kernel is not flipped"),
        reading("kernel", lambda kernel: kernel[::-1, ::-1]),
        causes=("conv-kernel-flip",),
    ),
    put(
        *(pairs.TRANSPOSED, "conv", "convtranspose-same-shift", "the right shape, one pixel aside"),
        setting(padding=((2, 1), (2, 1))),
    ),
    put(
        *(pairs.TRANSPOSED, "conv", "convtranspose-output-padding", "the output padding is filled with nothing"),
        around("__call__", _emptied),
    ),
    put(
        *(pairs.TRANSPOSED, "conv", "group-interleave", "interleaved in place of contiguous groups"),
        around("__call__", _woven),
    ),
    put(
        *(pairs.SHUFFLED, "shuffle", "pixel-shuffle-order", "unpacks (s, s, C) where torch packs (C, s, s)"),
        around("__call__", _unpacked_channels_last),
    ),
    put(
        *(pairs.UNSHUFFLED, "shuffle", "pixel-unshuffle-order", "packs (s, s, C) where torch packs (C, s, s)"),
        around("__call__", _packed_channels_last),
        causes=("pixel-shuffle-order",),
    ),
    put(
        *(pairs.SHUFFLED_STEPS, "shuffle", "step-shuffle-order", "unpacks (u, C) where torch packs (C, u)"),
        around("__call__", _steps_first),
        causes=("pixel-shuffle-order", "head-split-order"),
    ),
    put(
        *(pairs.UNSHUFFLED_STEPS, "shuffle", "step-unshuffle-order", "cuts the sequence in parts, not in steps"),
        around("__call__", _halves_first),
        causes=("pixel-shuffle-order", "head-split-order"),
    ),
)
