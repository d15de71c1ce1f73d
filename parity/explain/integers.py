"""Whole numbers: shifts, overflow, casts from and to floating numbers."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.suspect import Hypothesis, at

BITS = {torch.int8: 8, torch.uint8: 8, torch.int16: 16, torch.int32: 32, torch.int64: 64}


def shifting(op: Op) -> Iterator[Hypothesis]:
    """A logical in place of an arithmetic shift."""
    x = op.args[0]
    if isinstance(x, Tensor) and x.dtype in BITS and isinstance(op.args[1], int):
        yield at(op, "shift-logical", _logical, "the sign is shifted too")


def arithmetic(op: Op) -> Iterator[Hypothesis]:
    """Results that wrap round in a narrower type."""
    y = op.result
    if not isinstance(y, Tensor) or y.dtype not in BITS:
        return
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        if BITS[dtype] <= BITS[y.dtype] and dtype != y.dtype:
            cause = "uint8-wrap" if BITS[dtype] == 8 else "int-sum-width"
            name = str(dtype).removeprefix("torch.")
            yield at(op, cause, lambda o, d=dtype: o.again().to(d).to(o.again().dtype), f"wraps round as {name}")


def casting(op: Op) -> Iterator[Hypothesis]:
    """Casts to whole numbers that saturate, round or wrap."""
    x, y = op.args[0], op.result
    if not isinstance(y, Tensor) or y.dtype not in BITS or not isinstance(x, Tensor) or x.dtype == y.dtype:
        return
    if y.dtype == torch.uint8:
        yield at(op, "float-to-int-cast", lambda o: _saturated(o.args[0], torch.uint8), "saturates")
        yield at(op, "uint8-wrap", lambda o: o.args[0], "is not cast")
    if x.is_floating_point():
        yield at(op, "float-to-int-cast", lambda o: _saturated(o.args[0], y.dtype), "saturates")
        yield at(op, "rounding-mode", lambda o: torch.round(o.args[0]).to(y.dtype), "is rounded in place of cut")
        yield at(op, "rounding-mode", lambda o: torch.floor(o.args[0]).to(y.dtype), "is rounded down in place of cut")
        yield at(op, "float-to-int-cast", lambda o: o.args[0], "is not cast")


def _logical(op: Op) -> Tensor:
    x, n = op.args[0], int(op.args[1])
    shifted = x >> n
    return shifted & ((1 << (BITS[x.dtype] - n)) - 1) if n else shifted


def _saturated(x: Tensor, dtype: torch.dtype) -> Tensor:
    info = torch.iinfo(dtype)
    kept = x.trunc() if x.is_floating_point() else x
    return torch.nan_to_num(kept.to(torch.float64), 0.0).clamp(float(info.min), float(info.max)).to(dtype)


_CASTS = ("to", "type", "long", "int", "short", "byte", "char")

FAMILY = Family(
    "integers",
    {
        **dict.fromkeys(("rshift", "bitwise_right_shift"), shifting),
        **dict.fromkeys(("add", "mul", "sub", "sum", "cumsum", "prod"), arithmetic),
        **dict.fromkeys(_CASTS, casting),
    },
)
