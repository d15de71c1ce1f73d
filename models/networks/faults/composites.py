"""Mistakes in encoders, U-Nets, hypernetworks: how parts are put together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from models.networks.faults import pairs
from models.networks.faults.placing import computing, put
from parity.faults import around, deriving, family, reading

if TYPE_CHECKING:
    from jax import Array


def _channels_last(x: Array) -> Array:
    return x.transpose(0, 2, 3, 1).reshape(len(x), -1)


def _resized(original: Any, x: Array) -> Array:
    return jax.image.resize(x, (*x.shape[:2], *original.__self__.output_size), "linear")


def _modulated(change: Any) -> Any:
    """The block with `change(features, scale, shift)` in the middle."""

    def call(original: Any, x: Array, cond: Array) -> Array:
        block = original.__self__
        predicted = block.cond_encoder(cond).reshape(len(cond), -1, block.out_channels, 1, 1)
        out = change(block.first_conv(x), predicted[:, 0], predicted[:, 1])
        return block.last_conv(out) + block.residual_conv(x)

    return around("__call__", call)


def _interleaved(original: Any, x: Array, cond: Array) -> Array:
    """Scale and shift of a channel side by side, in place of all scales first."""
    block = original.__self__
    predicted = block.cond_encoder(cond).reshape(len(cond), block.out_channels, 2, 1, 1)
    out = predicted[:, :, 0] * block.first_conv(x) + predicted[:, :, 1]
    return block.last_conv(out) + block.residual_conv(x)


def _skip_first(original: Any, base: Array, cond: Array) -> Array:
    """The skipped features in front of those from below."""
    unet = original.__self__
    first, attention, second, downsample = unet.down_modules[0]
    skip = second(attention(first(base, cond)), cond)
    first, attention, second, _ = unet.down_modules[1]
    deepest = second(attention(first(downsample(skip), cond)), cond)
    first, attention, second = unet.mid_modules
    x = second(attention(first(deepest, cond)), cond)
    first, attention, second, upsample = unet.up_modules[0]
    x = upsample(second(attention(first(jnp.concatenate([deepest, x], axis=1), cond)), cond))
    return unet.final_conv(x)


def _slices_swapped(original: Any, flat: Array) -> dict[str, Array]:
    """The bias's numbers first, then the weight's."""
    net = original.__self__
    found, start = {}, 0
    for name, shape in reversed(net.output_shapes.items()):
        size = math.prod(shape)
        found[name] = flat[:, start : start + size].reshape(len(flat), *shape)
        start += size
    return {name: found[name] for name in net.output_shapes}


def _sine_first(original: Any, z: Array) -> Array:
    cos, sin = jnp.split(original(z), 2, -1)
    return jnp.concatenate([sin, cos], -1)


def _straight(original: Any, x: Array) -> Array:
    """The residual blocks without what they are added to."""
    net = original.__self__
    y = net.downsample(net.conv1(x))
    return net.conv3(net.conv2(net.res_blocks(y)))


FAULTS = family(
    "networks: composites",
    put(
        *(pairs.FLATTENED, "fc/0", "flatten-nhwc-order", "flattens (H, W, C) in place of (C, H, W)"),
        computing(_channels_last),
    ),
    put(
        *(pairs.POOLED, "fc/0", "adaptive-pool-bins", "uneven bins replaced by a resize"),
        around("__call__", _resized),
    ),
    put(
        *(pairs.DECODER, "decoder/conv/0/conv", "convtranspose-padding-shift", "the output padding in front"),
        deriving(padding=lambda conv: tuple((after, before) for before, after in conv.padding)),
        causes=("convtranspose-same-shift", "convtranspose-output-padding"),
    ),
    put(
        *(pairs.RESIDUAL, "", "skip-dropped", "the connection around the residual blocks is lost"),
        around("__call__", _straight),
        causes=("operand-dropped",),
    ),
    put(
        *(pairs.MODULATED, "", "film-scale-offset", "1 + scale in place of the scale"),
        _modulated(lambda out, scale, shift: (1 + scale) * out + shift),
        causes=("norm-scale-offset", "constant-differs"),
    ),
    put(
        *(pairs.MODULATED, "", "film-swap", "scale and shift exchanged"),
        _modulated(lambda out, scale, shift: shift * out + scale),
        causes=("chunk-order", "wrong-variable", "operand-order"),
    ),
    put(
        *(pairs.MODULATED, "", "film-interleaved", "scale and shift of a channel side by side"),
        around("__call__", _interleaved),
        causes=("head-split-order", "glu-halves-interleaved", "transpose-order"),
    ),
    put(
        *(pairs.UNET, "", "concat-order", "the skipped features in front"),
        around("__call__", _skip_first),
    ),
    put(
        *(pairs.TENSORS, "", "tensor-order", "the tensors' numbers in the other order"),
        around("unflatten_output", _slices_swapped),
        causes=("wrong-variable", "roll-direction", "operand-order", "setting-differs", "chunk-order"),
    ),
    put(
        *(pairs.TENSORS, "", "encoding-order", "sines in front of cosines"),
        around("_encoded", _sine_first),
        causes=("concat-order",),
    ),
    put(
        *(pairs.GENERATED, "cond_encoder/backbone", "bias-dropped-in-hypernet", "the generating layer's bias is lost"),
        reading("bias", lambda bias: 0 * bias),
        causes=("bias-dropped",),
    ),
)
