"""Rows gathered and scattered: empty and missing segments, filled-up index lists, distinct values, histograms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op, Replace
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect, at


def scattering(op: Op) -> Iterator[Hypothesis]:
    """What an empty segment gives, and segments that are left out."""
    dim = int(op.args[1]) if len(op.args) > 1 and isinstance(op.args[1], int) else 0
    if op.name == "scatter_reduce":
        for value in (-math.inf, math.inf, 0.0):
            detail = f"an empty segment gives {value:g}"
            yield at(op, "segment-empty", lambda o, v=value: _filled(o, v), detail)
    yield at(op, "segment-count", lambda o: _without_last(o.again(), dim), "one segment too few")
    if op.name in ("index_add", "scatter_add"):
        kept = "index_copy" if op.name == "index_add" else "scatter"
        yield at(op, "duplicate-index-add", lambda o: getattr(torch, kept)(*o.args[:4]), "duplicates count once")
        doubled = "what was there before is lost"
        yield at(
            op, "operand-dropped", lambda o: o.function(torch.zeros_like(o.args[0]), *o.args[1:], **o.kwargs), doubled
        )


def _filled(op: Op, value: float) -> Tensor:
    start = torch.full_like(op.args[0], value)
    touched = torch.zeros_like(start).scatter(int(op.args[1]), op.args[2], 1.0)
    return torch.where(touched > 0, op.again(), start)


def _without_last(y: Tensor, dim: int) -> Tensor:
    last = torch.arange(y.shape[dim]) == y.shape[dim] - 1
    return y.masked_fill(last.reshape([-1 if axis == dim else 1 for axis in range(y.ndim)]), 0)


def hits(scene: Scene) -> Iterator[Hypothesis]:
    """A list of hits that is filled up to a fixed length with the first row."""
    found: dict[int, Replace] = {}
    for op in scene.suspected:
        if op.name == "nonzero" and not op.kwargs.get("as_tuple"):
            found[op.index] = _all_hits
        elif op.name == "getitem" and isinstance(op.args[1], Tensor) and op.args[1].dtype == torch.bool:
            found[op.index] = lambda o: o.args[0][_padded(o.args[1])]
    if found:
        yield Suspect("nonzero-static-size", scene.name, "what fills up the list of hits hits the first row", found)


def _all_hits(op: Op) -> Tensor:
    places = op.again()
    missing = op.args[0].shape[0] - len(places)
    return torch.cat([places, places.new_zeros(missing, places.shape[1])])


def _padded(mask: Tensor) -> Tensor:
    places = mask.nonzero()[:, 0]
    return torch.cat([places, places.new_zeros(mask.shape[0] - len(places))])


def distinct(op: Op) -> Iterator[Hypothesis]:
    """The order of distinct values."""

    def turned(o: Op) -> Any:
        found = o.again()
        if isinstance(found, Tensor):
            return found.flip(0)
        values, inverse, *rest = found
        return (values.flip(0), len(values) - 1 - inverse, *(part.flip(0) for part in rest))

    def appearing(o: Op) -> Any:
        found = o.again()
        values = found if isinstance(found, Tensor) else found[0]
        first = torch.stack([(o.args[0].flatten() == v).nonzero()[0, 0] for v in values])
        order = first.argsort()
        if isinstance(found, Tensor):
            return values[order]
        return (values[order], order.argsort()[found[1]], *(part[order] for part in found[2:]))

    def filled_up(o: Op) -> Any:
        found = o.again()
        return _reversed_in_place(found, o.args[0].numel())

    yield at(op, "unique-order", turned, "in descending order")
    yield at(op, "unique-order", appearing, "in order of appearance")
    yield at(op, "unique-order", filled_up, "filled up to the full length and turned round")


def _reversed_in_place(found: Any, size: int) -> Any:
    """Values filled up in front, as a list of fixed length is when it is turned round."""
    parts: tuple[Any, ...] = (found,) if isinstance(found, Tensor) else tuple(found)
    values, inverse, *rest = parts
    missing = size - len(values)
    front = torch.cat([values.new_full((missing,), -1), values.flip(0)])
    counts = [torch.cat([part.new_full((missing,), 1), part.flip(0)]) for part in rest]
    return (front, size - 1 - inverse, *counts)


def counting(op: Op) -> Iterator[Hypothesis]:
    """Values outside the range of a histogram."""
    bounds = [a for a in op.args[1:] if isinstance(a, int | float)]
    if len(bounds) == 3:
        low, high = float(bounds[1]), float(bounds[2])
        outer = lambda o: o.function(o.args[0].clamp(low, high), *o.args[1:], **o.kwargs)  # noqa: E731  # one expression
        yield at(op, "hist-range", outer, "values outside count in the outer bins")


FAMILY = Family(
    "gathering",
    {
        **dict.fromkeys(("scatter_reduce", "index_add", "scatter_add", "scatter"), scattering),
        **dict.fromkeys(("unique", "unique_consecutive", "_unique2"), distinct),
        "histc": counting,
    },
    hits,
)
