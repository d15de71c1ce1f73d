"""Wrong ports of convolutions and pools, as functions: each mistake is named first, and explains the error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import pytest
from jax import lax
from torch import nn

from tests.engine.explain.mistake import Mistake, Weights, normal

Port = Callable[..., Any]
Sides = tuple[int, int]

X = normal(3, 5)
IMAGE = normal(2, 4, 7, 6)
SEQUENCE = normal(2, 5, 6)


def conv(
    w: Weights,
    *,
    padding: Any = "VALID",
    strides: tuple[int, int] = (1, 1),
    kernel: Callable[[Any], Any] | None = None,
    bias: bool = True,
    groups: int = 1,
) -> Port:
    def call(x):
        k = w["weight"] if kernel is None else kernel(w["weight"])
        y = lax.conv_general_dilated(x, jnp.asarray(k), strides, padding, feature_group_count=groups)
        return y + w["bias"][:, None, None] if bias else y

    return call


def padded(w: Weights, mode: str) -> Port:
    return lambda x: conv(w)(jnp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode=mode))


PAD = ((1, 1), (1, 1))
CONVOLUTIONS = (
    Mistake(
        "conv-kernel-hw-swap",
        lambda: nn.Conv2d(4, 3, 3),
        lambda w: conv(w, kernel=lambda k: k.swapaxes(2, 3)),
        (IMAGE,),
    ),
    Mistake(
        "conv-kernel-io-swap",
        lambda: nn.Conv2d(4, 4, 3),
        lambda w: conv(w, kernel=lambda k: k.swapaxes(0, 1)),
        (IMAGE,),
    ),
    Mistake(
        "conv-kernel-flip",
        lambda: nn.Conv2d(4, 3, 3),
        lambda w: conv(w, kernel=lambda k: k[:, :, ::-1, ::-1]),
        (IMAGE,),
    ),
    Mistake("bias-dropped", lambda: nn.Conv2d(4, 3, 3), lambda w: conv(w, bias=False), (IMAGE,)),
    Mistake("conv-default-same", lambda: nn.Conv2d(4, 3, 3), lambda w: conv(w, padding="SAME"), (IMAGE,)),
    Mistake(
        "conv-default-same",
        lambda: nn.Conv2d(4, 3, 3, stride=2, padding=1),
        lambda w: conv(w, padding="SAME", strides=(2, 2)),
        (normal(2, 4, 8, 6),),
    ),
    Mistake(
        "pad-reflect-symmetric",
        lambda: nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"),
        lambda w: padded(w, "symmetric"),
        (IMAGE,),
    ),
    Mistake(
        "pad-reflect-symmetric",
        lambda: nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"),
        lambda w: padded(w, "edge"),
        (IMAGE,),
    ),
    Mistake("pad-reflect-symmetric", lambda: nn.Conv2d(4, 3, 3, padding=1), lambda w: padded(w, "wrap"), (IMAGE,)),
    Mistake(
        "dilation-kind-swapped",
        lambda: nn.Conv2d(4, 3, 3, padding=2, dilation=2),
        lambda w: conv(w, padding=PAD),
        (IMAGE,),
    ),
    Mistake(
        "causal-pad-side",
        lambda: nn.Sequential(nn.ConstantPad1d((2, 0), 0.0), nn.Conv1d(5, 3, 3)),
        lambda w: lambda x: lax.conv_general_dilated(x, w["1.weight"], (1,), [(1, 1)]) + w["1.bias"][:, None],
        (SEQUENCE,),
    ),
    Mistake(
        "pad-order-reversed",
        lambda: nn.ZeroPad2d((1, 1, 2, 2)),
        lambda w: lambda x: jnp.pad(x, ((0, 0), (0, 0), (1, 1), (2, 2))),
        (IMAGE,),
    ),
    Mistake(
        "group-interleave",
        lambda: nn.Conv2d(4, 6, 1, groups=2),
        lambda w: lambda x: conv(w, groups=2)(x).reshape(2, 2, 3, 7, 6).swapaxes(1, 2).reshape(2, 6, 7, 6),
        (IMAGE,),
    ),
)


def transposed(w: Weights, *, flip: bool = True, shift: Sides = (0, 0), extra: Sides = (0, 0)) -> Port:
    k = w["weight"][:, :, ::-1, ::-1] if flip else w["weight"]

    def call(x):
        sides = [(1 - s, 1 + e + s) for s, e in zip(shift, extra, strict=True)]
        y = lax.conv_general_dilated(x, jnp.asarray(k.swapaxes(0, 1)), (1, 1), sides, lhs_dilation=(2, 2))
        return y + w["bias"][:, None, None]

    return call


def blank(w: Weights) -> Port:
    def call(x):
        y = transposed(w)(x)
        return jnp.pad(y, ((0, 0), (0, 0), (0, 1), (0, 1)))

    return call


TRANSPOSED = (
    Mistake(
        "convtranspose-no-flip",
        lambda: nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1),
        lambda w: transposed(w, flip=False),
        (IMAGE,),
    ),
    Mistake(
        "convtranspose-same-shift",
        lambda: nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1),
        lambda w: transposed(w, shift=(-1, -1), extra=(1, 1)),
        (IMAGE,),
    ),
    Mistake(
        "convtranspose-output-padding",
        lambda: nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1),
        blank,
        (IMAGE,),
    ),
)


def pool(x: Any, init: float, op: Any, window: Sides = (2, 2), strides: Sides = (2, 2), padding: Any = "VALID") -> Any:
    return lax.reduce_window(x, init, op, (1, 1, *window), (1, 1, *strides), padding)


def sides(n: int) -> Any:
    return ((0, 0), (0, 0), (n, n), (n, n))


POOLS = (
    Mistake(
        "maxpool-zero-pad",
        lambda: nn.MaxPool2d(2, 2, padding=1),
        lambda w: lambda x: pool(jnp.pad(x, sides(1)), -jnp.inf, lax.max),
        (IMAGE - 4,),
    ),
    Mistake(
        "avgpool-count-pad",
        lambda: nn.AvgPool2d(3, 2, padding=1),
        lambda w: (
            lambda x: (
                pool(x, 0.0, lax.add, (3, 3), (2, 2), sides(1))
                / pool(jnp.ones_like(x), 0.0, lax.add, (3, 3), (2, 2), sides(1))
            )
        ),
        (IMAGE,),
    ),
    Mistake(
        "pool-ceil-mode",
        lambda: nn.MaxPool2d(2, ceil_mode=True),
        lambda w: lambda x: pool(x, -jnp.inf, lax.max),
        (IMAGE,),
    ),
    Mistake(
        "pool-default-stride",
        lambda: nn.MaxPool2d(2),
        lambda w: lambda x: pool(x, -jnp.inf, lax.max, strides=(1, 1)),
        (IMAGE,),
    ),
    Mistake(
        "adaptive-pool-bins",
        lambda: nn.AdaptiveAvgPool2d((3, 3)),
        lambda w: lambda x: pool(x, 0.0, lax.add, (4, 2), (2, 2)) / 8,
        (normal(2, 4, 8, 6),),
    ),
    Mistake("pool-kind-swapped", lambda: nn.MaxPool2d(2), lambda w: lambda x: pool(x, 0.0, lax.add) / 4, (IMAGE,)),
)


TABLE = (*CONVOLUTIONS, *TRANSPOSED, *POOLS)


@pytest.mark.parametrize("mistake", TABLE, ids=[f"{m.causes[0]}-{i}" for i, m in enumerate(TABLE)])
def test_a_wrong_convolution_or_pool_is_named(mistake: Mistake) -> None:
    mistake.assert_named()
