"""Rows of convolutions and transposed convolutions; every extent is prime and different where it can be."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import flax.linen as ln
import haiku as hk
import jax
import jax.numpy as jnp
import torch
from flax import nnx

from tests.weight_bridge.layer_table.row import (
    F64,
    Absent,
    Port,
    Refused,
    Row,
    channels_last,
    equinox_port,
    first,
    haiku_port,
    last,
    linen_port,
    nnx_port,
)

KERNEL, EXTENTS = (2, 3, 5), (7, 11, 13)
TORCH = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}
TORCH_TRANSPOSED = {1: torch.nn.ConvTranspose1d, 2: torch.nn.ConvTranspose2d, 3: torch.nn.ConvTranspose3d}
HAIKU = {1: hk.Conv1D, 2: hk.Conv2D, 3: hk.Conv3D}
HAIKU_TRANSPOSED = {1: hk.Conv1DTranspose, 2: hk.Conv2DTranspose, 3: hk.Conv3DTranspose}
# torch's padding mode → numpy's.
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _convolution(
    rank: int, *, groups: int = 1, stride: int = 1, dilation: int = 1, padding: int = 0, mode: str = "zeros"
) -> Row:
    into, out, kernel = 3 * groups, 5 * groups, KERNEL[:rank]

    def pad(x: jax.Array) -> jax.Array:
        return jnp.pad(x, [(0, 0), (0, 0), *[(padding, padding)] * rank], mode=MODES[mode])

    flax = {"strides": (stride,) * rank, "kernel_dilation": (dilation,) * rank, "padding": "VALID"} | F64
    return Row(
        lambda: TORCH[rank](into, out, kernel, stride, padding, dilation, groups, padding_mode=mode),
        [(2, into, *EXTENTS[:rank])],
        {
            "nnx": nnx_port(
                lambda rngs: nnx.Conv(into, out, kernel, feature_group_count=groups, rngs=rngs, **flax),
                lambda m, x: channels_last(m, pad(x)),
            ),
            "linen": linen_port(
                lambda: ln.Conv(out, kernel, feature_group_count=groups, **flax),
                lambda: jnp.zeros((2, *EXTENTS[:rank], into)),
                lambda f, x: channels_last(f, pad(x)),
            ),
            "equinox": equinox_port(
                lambda key: eqx.nn.Conv(
                    rank, into, out, kernel, stride, padding, dilation, groups, padding_mode=mode, key=key
                )
            ),
            "haiku": haiku_port(
                lambda x: channels_last(
                    HAIKU[rank](out, kernel, stride, dilation, "VALID", feature_group_count=groups), pad(x)
                ),
                lambda: jnp.zeros((2, into, *EXTENTS[:rank])),
            ),
        },
    )


def _transposed(rank: int, *, groups: int = 1, stride: int = 1, padding: int = 0, out_padding: int = 0) -> Row:
    """Flax and Haiku pad by k − 1 − p what torch pads by p, and by the output padding at the end."""
    into, out, kernel = 3 * groups, 5 * groups, KERNEL[:rank]
    around = [(k - 1 - padding, k - 1 - padding + out_padding) for k in kernel]
    flax: dict[str, Any] = {"strides": (stride,) * rank, "padding": around} | F64
    name = f"torch.ConvTranspose{rank}d"

    def flax_layer(rngs: nnx.Rngs, *, turned: bool = False) -> nnx.ConvTranspose:
        return nnx.ConvTranspose(into, out, kernel, transpose_kernel=turned, rngs=rngs, **flax)

    def linen_layer() -> ln.ConvTranspose:
        return ln.ConvTranspose(out, kernel, transpose_kernel=rank == 2, **flax)

    def haiku_layer(x: jax.Array) -> jax.Array:
        return channels_last(HAIKU_TRANSPOSED[rank](out, kernel, stride, padding=around), x)

    ports: dict[str, Port | Refused | Absent] = {
        "nnx": nnx_port(flax_layer, channels_last),
        "linen": linen_port(linen_layer, lambda: jnp.zeros((2, *EXTENTS[:rank], into)), channels_last),
        "equinox": equinox_port(
            lambda key: eqx.nn.ConvTranspose(
                rank, into, out, kernel, stride, padding, out_padding, groups=groups, key=key
            )
        ),
        "haiku": haiku_port(haiku_layer, lambda: jnp.zeros((2, into, *EXTENTS[:rank]))),
    }
    if groups > 1:
        line = f"weight: {name} has groups={groups}; {{}} has no groups"
        example = jnp.zeros((2, into, *EXTENTS[:rank]))
        ports |= {
            "nnx": Refused(lambda: flax_layer(nnx.Rngs(0)), line.format("Flax's ConvTranspose")),
            "linen": Refused(lambda: (linen_layer(), last(example)), line.format("Flax's ConvTranspose")),
            "haiku": Refused(
                lambda: (hk.transform(haiku_layer), example), line.format(f"Haiku's Conv{rank}DTranspose")
            ),
        }
    return Row(
        lambda: TORCH_TRANSPOSED[rank](into, out, kernel, stride, padding, out_padding, groups),
        [(2, into, *EXTENTS[:rank])],
        ports,
    )


def _turned() -> Row:
    """Flax's own option for torch's kernel order, with its string padding."""
    flax: dict[str, Any] = {"strides": (1, 2), "padding": "VALID", "transpose_kernel": True} | F64
    return Row(
        lambda: torch.nn.ConvTranspose2d(3, 5, (2, 7), (1, 2)),
        [(2, 3, 5, 11)],
        {
            "nnx": nnx_port(lambda rngs: nnx.ConvTranspose(3, 5, (2, 7), rngs=rngs, **flax), channels_last),
            "linen": linen_port(
                lambda: ln.ConvTranspose(5, (2, 7), **flax), lambda: jnp.zeros((2, 5, 11, 3)), channels_last
            ),
            "equinox": Absent("no such option"),
            "haiku": Absent("no such option"),
        },
    )


def _depthwise() -> Row:
    flax: dict[str, Any] = {"feature_group_count": 3, "padding": "VALID"} | F64
    return Row(
        lambda: torch.nn.Conv2d(3, 6, (2, 5), groups=3),
        [(2, 3, 7, 11)],
        {
            "nnx": nnx_port(lambda rngs: nnx.Conv(3, 6, (2, 5), rngs=rngs, **flax), channels_last),
            "linen": linen_port(lambda: ln.Conv(6, (2, 5), **flax), lambda: jnp.zeros((2, 7, 11, 3)), channels_last),
            "equinox": equinox_port(lambda key: eqx.nn.Conv2d(3, 6, (2, 5), groups=3, key=key)),
            "haiku": haiku_port(
                lambda x: first(hk.DepthwiseConv2D(2, (2, 5), padding="VALID")(last(x))),
                lambda: jnp.zeros((2, 3, 7, 11)),
            ),
        },
    )


ROWS: dict[str, Row] = {
    "Conv1d": _convolution(1),
    "Conv2d": _convolution(2),
    "Conv3d": _convolution(3),
    "Conv1d, groups, dilation": _convolution(1, groups=2, dilation=2),
    "Conv2d, groups, stride": _convolution(2, groups=2, stride=2),
    "Conv3d, dilation": _convolution(3, dilation=2),
    "Conv2d, depthwise": _depthwise(),
    "Conv1d, padding zeros": _convolution(1, padding=1),
    "Conv2d, padding reflect": _convolution(2, padding=2, mode="reflect"),
    "Conv2d, padding replicate": _convolution(2, padding=2, mode="replicate"),
    "Conv2d, padding circular": _convolution(2, padding=2, mode="circular"),
    "ConvTranspose1d": _transposed(1),
    "ConvTranspose2d": _transposed(2),
    "ConvTranspose3d": _transposed(3),
    "ConvTranspose2d, transpose_kernel": _turned(),
    "ConvTranspose1d, stride, padding": _transposed(1, stride=2, padding=1),
    "ConvTranspose2d, output_padding": _transposed(2, stride=2, padding=1, out_padding=1),
    "ConvTranspose1d, groups": _transposed(1, groups=2, stride=2),
    "ConvTranspose2d, groups": _transposed(2, groups=2, stride=2),
}
