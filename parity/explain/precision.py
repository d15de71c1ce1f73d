"""Precision: weights and tables that were rounded, and parts of the candidate that compute in fewer digits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.suspect import Family, Hypothesis, at

NARROW = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def weights(op: Op) -> Iterator[Hypothesis]:
    """Weights that went through a narrower format."""
    if any(isinstance(a, torch.nn.Parameter) for a in (*op.args, *op.kwargs.values())):
        for name, dtype in NARROW.items():
            yield at(op, "conversion-downcast", lambda o, d=dtype: _rounded_weights(o, d), f"weights rounded to {name}")


def tables(op: Op) -> Iterator[Hypothesis]:
    """Tables that were built in a narrower format."""
    if isinstance(op.result, Tensor) and op.result.is_floating_point():
        for name, dtype in NARROW.items():
            detail = f"the result of {op.name} rounded to {name}"
            yield at(op, "table-low-precision", lambda o, d=dtype: _through(o.again(), d), detail)


def _rounded_weights(op: Op, dtype: torch.dtype) -> Any:
    def rounded(value: Any) -> Any:
        return _through(value, dtype) if isinstance(value, torch.nn.Parameter) else value

    args = [rounded(value) for value in op.args]
    return op.function(*args, **{name: rounded(value) for name, value in op.kwargs.items()})


def _through(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype).to(value.dtype)


_HOLDERS = ("linear", "embedding", "layer_norm", "group_norm", "batch_norm", "rms_norm", "prelu", "bilinear", "matmul")
_TABLES = ("sin", "cos", "exp", "pow", "rpow", "arange", "linspace", "outer", "log", "rdiv", "tensor", "einsum")

FAMILY = Family(
    "precision",
    {
        **dict.fromkeys((*_HOLDERS, *(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3))), weights),
        **dict.fromkeys(_TABLES, tables),
    },
)
