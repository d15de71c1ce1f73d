"""Precision: weights and tables that were rounded, and parts of the candidate that compute in fewer digits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, at

NARROW = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def weights(op: Op) -> Iterator[Hypothesis]:
    """Weights that went through a narrower format, together or alone."""
    places = [name for name, value in op.given.items() if isinstance(value, torch.nn.Parameter)]
    for some in dict.fromkeys((tuple(places), *((place,) for place in places))):
        for name, dtype in NARROW.items():
            detail = f"{' and '.join(some)} rounded to {name}"
            yield at(op, "conversion-downcast", lambda o, s=some, d=dtype: _rounded(o, s, d), detail)


def stored(op: Op) -> Iterator[Hypothesis]:
    """Constants that were stored as whole numbers."""
    for place, value in enumerate(op.args[:2]):
        if isinstance(value, Tensor) and value.is_leaf and value.is_floating_point() and value.numel():
            yield at(op, "buffer-dtype-changed", lambda o, p=place: _cut(o, p), "a constant is stored as integers")


def _cut(op: Op, place: int) -> Any:
    args = list(op.args)
    args[place] = args[place].trunc()
    return op.function(*args, **op.kwargs)


def operands(op: Op) -> Iterator[Hypothesis]:
    """Products whose operands keep few bits, as some devices take them by default."""
    some = [name for name, value in op.given.items() if isinstance(value, Tensor) and name != "bias"]
    for bits, cause in ((10, "tf32-default-gpu"), (7, "tpu-bf16-default")):
        detail = f"operands of {bits} bits"
        yield at(op, cause, lambda o, n=bits: o.again(**{name: _cut_bits(o.given[name], n) for name in some}), detail)


def _cut_bits(value: Tensor, bits: int) -> Tensor:
    """Significands of so many bits, rounded to even."""
    size = torch.exp2(torch.floor(torch.log2(value.abs().clamp(min=1e-300))) - bits)
    return torch.round(value / size) * size


def products(op: Op) -> Iterator[Hypothesis]:
    """What can happen to the operands of a product."""
    yield from weights(op)
    yield from operands(op)


def narrow(scene: Scene) -> Iterator[Hypothesis]:
    """Results that went through a narrower format: those of tables, which follow from constants alone, and others."""
    constant = {id(buffer) for buffer in scene.module.buffers()}
    for op in scene.suspected:
        if not isinstance(op.result, Tensor):
            continue
        table = all(id(value) in constant for value in _tensors((op.args, tuple(op.kwargs.values()))))
        constant |= {id(op.result)} if table else set()
        if op.name in _TABLES and op.result.is_floating_point():
            for name, dtype in NARROW.items():
                cause = "f32-island-in-f64" if name == "float32" else "autocast-region"
                detail = f"the result of {op.name} rounded to {name}"
                if table and op.result.numel() > 1:
                    cause, detail = "table-low-precision", f"a table, {detail}"
                yield at(op, cause, lambda o, d=dtype: _through(o.again(), d), detail)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor among nested arguments."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:  # pyright: ignore[reportUnknownVariableType]  # of anything
            yield from _tensors(part)


def _rounded(op: Op, places: tuple[str, ...], dtype: torch.dtype) -> Any:
    return op.again(**{place: _through(op.given[place], dtype) for place in places})


def _through(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype).to(value.dtype)


_HOLDERS = ("embedding", "layer_norm", "group_norm", "batch_norm", "rms_norm", "prelu", "bilinear")
_CONVOLUTIONS = tuple(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3))
_TABLES = ("sin", "cos", "exp", "pow", "rpow", "arange", "linspace", "outer", "log", "rdiv", "tensor", "einsum")

FAMILY = Family(
    "precision",
    {
        **dict.fromkeys(_HOLDERS, weights),
        **dict.fromkeys(("linear", "matmul", "bmm", *_CONVOLUTIONS), products),
        **dict.fromkeys(("add", "sub", "mul", "div"), stored),
    },
    narrow,
)
