"""Borders: how much is padded on which side, with what; strides, dilations, cropped and added rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.suspect import Hypothesis, Setting, at, changed, dialled

Pads = tuple[int, ...]
MODES = ("constant", "reflect", "replicate", "circular")


def convolution(op: Op) -> Iterator[Hypothesis]:
    """Padding, stride, dilation and groups of a convolution."""
    weight, x = op.given["weight"], op.given["input"]
    rank = weight.ndim - 2
    kernel, stride, dilation = tuple(weight.shape[2:]), _each(op, "stride", rank), _each(op, "dilation", rank)
    own = _each(op, "padding", rank)
    span = tuple(d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
    size = tuple(x.shape[-rank:])
    same = tuple(_same(n, s, k) for n, s, k in zip(size, stride, span, strict=True))
    wanted = {
        "conv-default-same": (same, "SAME padding"),
        "conv-padding-valid": (tuple((0, 0) for _ in own), "no padding"),
        "causal-pad-side": (tuple((k, 0) for k in span), "padding before only"),
    }
    for cause, (sides, text) in wanted.items():
        if sides != tuple((p, p) for p in own):
            setting = Setting("padding", own, {"SAME padding": "SAME", "no padding": "VALID"}.get(text, sides))
            yield at(op, cause, lambda o, p=sides: _padded(o, p), f"{text} {sides}", setting)
    yield at(op, "causal-pad-side", lambda o: _padded(o, tuple((0, k) for k in span)), "padding behind only")
    middle = tuple((k // 2, k - k // 2) for k in span)
    yield at(op, "causal-pad-side", lambda o: _padded(o, middle), f"padding on both sides {middle}")
    if any(own):
        symmetric = tuple((p, p) for p in own)
        for mode in MODES[1:]:
            yield at(op, "pad-reflect-symmetric", lambda o, m=mode: _padded(o, symmetric, m), f"{mode} padding")
        yield at(
            op,
            "pad-reflect-symmetric",
            lambda o: _padded(o, tuple((p, p) for p in own), "symmetric"),
            "symmetric padding",
        )
    yield from _steps(op, own, stride, dilation)


def _steps(op: Op, own: Pads, stride: Pads, dilation: Pads) -> Iterator[Hypothesis]:
    """Stride and dilation."""
    for name, value in (("stride", stride), ("dilation", dilation)):
        if any(v > 1 for v in value):
            cause = "dilation-kind-swapped" if name == "dilation" else "stride-dropped"
            yield changed(op, cause, name, 1, f"{name} is lost")
        if len(set(value)) > 1:
            yield changed(op, "stride-order", name, tuple(reversed(value)))
    if any(d > 1 for d in dilation):
        kernel = op.given["weight"].shape[2:]
        less = tuple(p - (k - 1) * (d - 1) // 2 for p, k, d in zip(own, kernel, dilation, strict=True))
        if op.name in ("conv1d", "conv2d", "conv3d") and min(less) >= 0:
            detail = "dilation is lost, the size is kept"
            yield at(op, "dilation-kind-swapped", lambda o: o.again(dilation=1, padding=less), detail)
        for pads in range(4):
            detail = f"dilation of the input, padding {pads}, cropped"
            yield at(op, "dilation-kind-swapped", lambda o, p=pads: _input_dilated(o, dilation, p), detail)
    for other in range(4):
        if (other,) * len(own) != own:
            yield changed(op, "conv-padding", "padding", (other,) * len(own))


def padding(op: Op) -> Iterator[Hypothesis]:
    """Mode, order, sides and value of an explicit padding."""
    pads, mode = tuple(op.given["pad"]), op.given.get("mode", "constant")
    for other in MODES:
        if other != mode:
            yield at(
                op, "pad-reflect-symmetric", lambda o, m=other: _repadded(o, pads, m), f"{other} in place of {mode}"
            )
    yield at(op, "pad-reflect-symmetric", lambda o: _symmetric(o.given["input"], pads), f"symmetric in place of {mode}")
    pairs = _pairs(pads)
    reversed_axes = tuple(p for pair in reversed(pairs) for p in pair)
    reversed_sides = tuple(p for a, b in pairs for p in (b, a))
    split = tuple(p for a, b in pairs for p in ((a + b) // 2, a + b - (a + b) // 2))
    ahead = tuple(p for a, b in pairs for p in (a + b, 0))
    for other, cause in (
        (reversed_axes, "pad-order-reversed"),
        (reversed_sides, "causal-pad-side"),
        (split, "causal-pad-side"),
        (ahead, "causal-pad-side"),
    ):
        if other != pads:
            yield at(op, cause, lambda o, p=other: _repadded(o, p, mode), f"padding {other} in place of {pads}")
    if mode == "constant":
        value = float(op.given.get("value") or 0.0)
        yield dialled(op, "pad-value", "value", value, (0.0, 1.0, -1.0), lambda o, v: o.again(value=v), positive=False)


def transposed(op: Op) -> Iterator[Hypothesis]:
    """Alignment of a transposed convolution."""
    rank = op.given["weight"].ndim - 2
    own, extra = _each(op, "padding", rank), _each(op, "output_padding", rank)
    for shifts in itertools.product((-1, 0, 1), repeat=rank):
        if any(shifts):
            detail = f"shifted by {shifts}"
            yield at(op, "convtranspose-same-shift", lambda o, s=shifts: _shifted(o, own, extra, s), detail)
    if any(extra):
        detail = "rows of output_padding are zero"
        yield at(op, "convtranspose-output-padding", lambda o: _blank(o, extra, repeat=False), detail)
        detail = "rows of output_padding repeat the last ones"
        yield at(op, "convtranspose-output-padding", lambda o: _blank(o, extra, repeat=True), detail)
        yield changed(op, "convtranspose-output-padding", "output_padding", 0)
    yield from _steps(op, own, _each(op, "stride", rank), _each(op, "dilation", rank))


def resizing(op: Op) -> Iterator[Hypothesis]:
    """How an image is resized."""
    mode, corners = op.given.get("mode", "nearest"), op.given.get("align_corners")
    if mode not in ("nearest", "area", "nearest-exact"):
        other = not corners
        yield changed(op, "resize-align-corners", "align_corners", other)
    for name in ("nearest", "nearest-exact", "bilinear", "linear", "bicubic", "area", "trilinear"):
        if name != mode:
            cause = "resize-nearest-rounding" if {name, mode} == {"nearest", "nearest-exact"} else "resize-mode"
            yield at(op, cause, lambda o, m=name: _resized(o, m), f"{name} in place of {mode}")
    if mode in ("bilinear", "bicubic"):
        yield at(op, "resize-antialias", lambda o: o.again(antialias=not o.given.get("antialias", False)), "antialias")


def _resized(op: Op, mode: str) -> Tensor:
    flag = {"align_corners": op.given.get("align_corners")} if mode in ("bilinear", "linear", "bicubic") else {}
    kwargs = {k: v for k, v in op.kwargs.items() if k not in ("mode", "align_corners")}
    return op.function(op.args[0], **kwargs, mode=mode, **flag)


def _each(op: Op, name: str, rank: int) -> Pads:
    """An argument for every spatial axis."""
    value: Any = op.given.get(name, 1 if name in ("stride", "dilation") else 0)
    if isinstance(value, str):
        return (0,) * rank
    values = tuple(int(v) for v in value) if isinstance(value, tuple | list) else (int(value),)
    return values if len(values) == rank else values * rank


def _same(size: int, stride: int, span: int) -> tuple[int, int]:
    """XLA's SAME padding, the smaller half in front."""
    total = max((math.ceil(size / stride) - 1) * stride + span + 1 - size, 0)
    return total // 2, total - total // 2


def _padded(op: Op, sides: tuple[tuple[int, int], ...], mode: str = "constant") -> Tensor:
    """The convolution with explicit padding in front of it."""
    flat = tuple(p for low, high in reversed(sides) for p in (low, high))
    x = op.given["input"]
    return op.again(input=_symmetric(x, flat) if mode == "symmetric" else F.pad(x, flat, mode=mode), padding=0)


def _repadded(op: Op, pads: Pads, mode: str) -> Tensor:
    return F.pad(op.given["input"], pads, mode=mode)


def _symmetric(x: Tensor, pads: Pads) -> Tensor:
    """Mirrors with the border element repeated."""
    for axis, (low, high) in enumerate(_pairs(pads), 1):
        n = x.shape[-axis]
        places = [-i - 1 if i < 0 else 2 * n - 1 - i if i >= n else i for i in range(-low, n + high)]
        x = x.index_select(x.ndim - axis, x.new_tensor(places).long())
    return x


def _pairs(pads: Pads) -> list[tuple[int, int]]:
    return [(pads[i], pads[i + 1]) for i in range(0, len(pads), 2)]


def _input_dilated(op: Op, dilation: Pads, pads: int) -> Tensor:
    """Zeros between the inputs in place of zeros between the weights."""
    x = op.given["input"]
    rank = len(dilation)
    spread = x.new_zeros((*x.shape[:-rank], *((n - 1) * d + 1 for n, d in zip(x.shape[-rank:], dilation, strict=True))))
    spread[(..., *(slice(None, None, d) for d in dilation))] = x
    size = op.again().shape[-rank:]
    return op.again(input=spread, dilation=1, padding=pads)[(..., *(slice(n) for n in size))]


def _shifted(op: Op, own: Pads, extra: Pads, shifts: Pads) -> Tensor:
    """The full transposed convolution, cropped at other places."""
    rank = len(own)
    room = tuple(e + 2 for e in extra)
    flat = tuple(p for r in reversed(room) for p in (2, r))
    full = F.pad(op.again(padding=0, output_padding=0), flat)
    target = op.again().shape[-rank:]
    starts = tuple(p + 2 + s for p, s in zip(own, shifts, strict=True))
    return full[(..., *(slice(a, a + n) for a, n in zip(starts, target, strict=True)))]


def _blank(op: Op, extra: Pads, *, repeat: bool) -> Tensor:
    short = op.again(output_padding=0)
    return F.pad(short, tuple(p for e in reversed(extra) for p in (0, e)), mode="replicate" if repeat else "constant")


FAMILY = Family(
    "padding",
    {
        **{f"conv{n}d": convolution for n in (1, 2, 3)},
        **{f"conv_transpose{n}d": transposed for n in (1, 2, 3)},
        "pad": padding,
        "interpolate": resizing,
    },
)
