"""Pooling: what the padding counts as, strides, ceil mode, uneven bins."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.suspect import Hypothesis, at, changed


def maximum(op: Op) -> Iterator[Hypothesis]:
    """Mistakes of max pooling."""
    rank = int(op.name[-2])
    pads = _each(op.given.get("padding", 0), rank)
    if any(pads):
        yield at(op, "maxpool-zero-pad", lambda o: _zero_padded(o, pads), "the padding counts as 0")
        yield at(op, "maxpool-zero-pad", lambda o: _from_zero(o), "every window starts from 0")
    yield from _windows(op, rank)
    yield at(op, "pool-kind-swapped", lambda o: _average(o, rank), "the average in place of the maximum")
    yield at(op, "max-tie-gradient", lambda o: _tied(o, rank), "equal maxima share the gradient")


def average(op: Op) -> Iterator[Hypothesis]:
    """Mistakes of average pooling."""
    rank = int(op.name[-2])
    counted = bool(op.given.get("count_include_pad", True))
    if any(_each(op.given.get("padding", 0), rank)):
        yield changed(op, "avgpool-count-pad", "count_include_pad", not counted)
    yield from _windows(op, rank)
    if op.given.get("divisor_override") is not None:
        yield changed(op, "pool-divisor", "divisor_override", None)
    yield at(op, "pool-kind-swapped", lambda o: _largest(o, rank), "the maximum in place of the average")


def _windows(op: Op, rank: int) -> Iterator[Hypothesis]:
    """Stride, padding and ceil mode of any pooling."""
    kernel = _each(op.given["kernel_size"], rank)
    stride = _each(op.given.get("stride") or kernel, rank)
    ceil = bool(op.given.get("ceil_mode", False))
    yield changed(op, "pool-ceil-mode", "ceil_mode", not ceil)
    if ceil and op.name.startswith("avg"):
        yield at(op, "pool-ceil-mode", lambda o: _whole_divisor(o, rank), "cells outside the input are counted")
    for other in (1, *({kernel} - {stride})):
        if _each(other, rank) != stride:
            yield changed(op, "pool-default-stride", "stride", other)
    for pads in (0, 1):
        if _each(pads, rank) != _each(op.given.get("padding", 0), rank):
            yield changed(op, "pool-padding", "padding", pads)
    yield at(op, "pool-padding", lambda o: _same(o, kernel, stride), "SAME padding")


def adaptive(op: Op) -> Iterator[Hypothesis]:
    """Bins of adaptive pooling where the size does not divide."""
    rank = int(op.name[-2])
    target = tuple(op.result[0].shape[-rank:] if isinstance(op.result, tuple) else op.result.shape[-rank:])
    size = tuple(op.args[0].shape[-rank:])
    pool = getattr(F, f"{'avg' if 'avg' in op.name else 'max'}_pool{rank}d")
    stride = tuple(n // t for n, t in zip(size, target, strict=True))
    kernel = tuple(n - (t - 1) * s for n, t, s in zip(size, target, stride, strict=True))

    def resized(mode: str, **flags: Any) -> Any:
        return lambda o: F.interpolate(o.args[0], size=target, mode=mode, **flags)

    yield at(op, "adaptive-pool-bins", lambda o: pool(o.args[0], kernel, stride), f"windows {kernel}, stride {stride}")
    short = lambda o: pool(o.args[0], stride, stride)[(..., *(slice(t) for t in target))]  # noqa: E731  # one expression
    yield at(op, "adaptive-pool-bins", short, f"windows {stride}, stride {stride}, cropped")
    smooth = {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]
    for antialias in (False, True) if rank == 2 else (False,):
        flags = {"antialias": True} if antialias else {}
        yield at(op, "adaptive-pool-bins", resized(smooth, **flags), f"{smooth} resizing, antialias {antialias}")
    other = "max" if "avg" in op.name else "avg"
    swapped = getattr(F, f"adaptive_{other}_pool{rank}d")
    yield at(op, "pool-kind-swapped", lambda o: swapped(o.args[0], target), f"{other} pooling")


def _each(value: Any, rank: int) -> tuple[int, ...]:
    sizes: list[Any] = list(value) if isinstance(value, tuple | list) else [value] * rank
    return tuple(int(size) for size in sizes)


def _zero_padded(op: Op, pads: tuple[int, ...]) -> Any:
    flat = tuple(p for pad in reversed(pads) for p in (pad, pad))
    return op.again(input=F.pad(op.given["input"], flat), padding=0)


def _from_zero(op: Op) -> Any:
    found = op.again()
    return (found[0].clamp(min=0), *found[1:]) if isinstance(found, tuple) else found.clamp(min=0)


def _same(op: Op, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Any:
    x = op.given["input"]
    sides: list[int] = []
    for n, k, s in reversed(list(zip(x.shape[-len(kernel) :], kernel, stride, strict=True))):
        total = max((math.ceil(n / s) - 1) * s + k - n, 0)
        sides += [total // 2, total - total // 2]
    if op.name.startswith("max"):
        return op.again(input=F.pad(x, sides, value=-math.inf), padding=0)
    return op.again(input=F.pad(x, sides), padding=0)


def _arguments(op: Op, rank: int) -> tuple[Any, ...]:
    stride = op.given.get("stride") or op.given["kernel_size"]
    return op.given["input"], op.given["kernel_size"], stride, op.given.get("padding", 0)


def _average(op: Op, rank: int) -> Tensor:
    return getattr(F, f"avg_pool{rank}d")(*_arguments(op, rank), ceil_mode=bool(op.given.get("ceil_mode", False)))


def _largest(op: Op, rank: int) -> Tensor:
    return getattr(F, f"max_pool{rank}d")(*_arguments(op, rank), ceil_mode=bool(op.given.get("ceil_mode", False)))


def _whole_divisor(op: Op, rank: int) -> Tensor:
    """Sums over what is inside, divided by the whole window."""
    count = math.prod(_each(op.given["kernel_size"], rank))
    x = op.given["input"]
    ones = op.again(input=torch.ones_like(x), divisor_override=1) if rank > 1 else None
    del ones
    return op.again(divisor_override=count)


def _tied(op: Op, rank: int) -> Tensor:
    """The maximum as a reduction whose gradient is shared among equal elements."""
    x, kernel, stride, pads = _arguments(op, rank)
    flat = tuple(p for pad in reversed(_each(pads, rank)) for p in (pad, pad))
    y = F.pad(x, flat, value=-math.inf)
    for axis, (k, s) in enumerate(zip(_each(kernel, rank), _each(stride, rank), strict=True)):
        y = y.unfold(x.ndim - rank + axis, k, s)
    return y.amax(tuple(range(-rank, 0)))


FAMILY = Family(
    "pooling",
    {
        **{f"max_pool{n}d": maximum for n in (1, 2, 3)},
        **{f"avg_pool{n}d": average for n in (1, 2, 3)},
        **{f"adaptive_{kind}_pool{n}d": adaptive for kind in ("avg", "max") for n in (1, 2, 3)},
    },
)
