"""Means of means: sums whose quotient is taken row by row, and functions that are averaged after in place of before."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from parity.backends.torch_rewrite import Op, Replace
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect

OUTER = ("exp", "log", "sqrt", "square", "neg")
"""Functions of one number that may be averaged over rows instead."""


def quotients(scene: Scene) -> Iterator[Hypothesis]:
    """A sum over a count, each of all rows, taken per row and averaged."""
    ops = scene.suspected
    for op in ops:
        parts = [_full_sum(arg, ops) for arg in op.args[:2]]
        if op.name != "div" or parts[0] is None or not isinstance(op.result, Tensor) or op.result.ndim:
            continue
        rows: dict[int, Replace] = {part.index: _by_row for part in parts if part is not None}
        detail = "the mean of the rows' means"
        outer = next((o for o in ops if o.name in OUTER and o.args and o.args[0] is op.result), None)
        yield Suspect("masked-mean-of-means", op.owner, detail, {**rows, op.index: lambda o: o.again().mean()})
        if outer is not None:
            changed: dict[int, Replace] = {**rows, outer.index: lambda o: o.again().mean()}
            yield Suspect("perplexity-order", outer.owner, f"the mean of the rows' {outer.name}", changed)


def _full_sum(value: object, ops: tuple[Op, ...]) -> Op | None:
    """The call that summed all of an array, if a number came from one."""
    made = next((op for op in ops if op.result is value), None)
    summed = made is not None and made.name == "sum" and isinstance(value, Tensor) and not value.ndim
    return made if summed else None


def _by_row(op: Op) -> Tensor:
    """The sum of every row; what has one number per row is left."""
    x: Tensor = op.args[0]
    return x.flatten(1).sum(1) if x.ndim > 1 else x


FAMILY = Family("means", {}, quotients)
