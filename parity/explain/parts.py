"""Parts of arrays: which place or stretch of an axis is taken, and in which order."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from parity.backends.torch_rewrite import Op, Replace
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect, at

MOST_PARTS = 4
"""Parts whose orders are all tried."""


def taking(op: Op) -> Iterator[Hypothesis]:
    """One place along an axis, or a stretch of it, taken from elsewhere."""
    index = op.args[1] if isinstance(op.args[1], tuple) else (op.args[1],)
    if not all(type(part) is int or isinstance(part, slice) for part in index):
        return
    for axis, part in enumerate(index):
        size = op.args[0].shape[axis]
        if type(part) is int:
            for other in {0, size - 1} - {part % size}:
                elsewhere = with_part(index, axis, other)
                detail = f"index {other} of axis {axis} in place of {part}"
                yield at(op, "index-differs", lambda o, i=elsewhere: o.args[0][i], detail)
            everything = with_part(index, axis, slice(None))
            kept = sum(isinstance(before, slice) for before in index[:axis])
            detail = f"the mean over axis {axis} in place of index {part}"
            yield at(op, "index-differs", lambda o, i=everything, a=kept: o.args[0][i].mean(a), detail)
        elif part.step is None and part != slice(None):
            start, stop, _ = part.indices(size)
            for step in (1, -1):
                if start + step >= 0 and stop + step <= size:
                    moved = with_part(index, axis, slice(start + step, stop + step))
                    detail = f"axis {axis} from {start + step} in place of {start}"
                    yield at(op, "slice-offset", lambda o, i=moved: o.args[0][i], detail)


def with_part(index: tuple[Any, ...], place: int, part: Any) -> tuple[Any, ...]:
    """An index with another part in one place."""
    return (*index[:place], part, *index[place + 1 :])


def parts(scene: Scene) -> Iterator[Hypothesis]:
    """Parts of one array, each taken by an index or a stretch of its own, that are taken in another order."""
    groups: dict[int, list[tuple[Op, int, Any]]] = defaultdict(list)
    for op in scene.suspected:
        found = _one_part(op) if op.name == "getitem" else None
        if found is not None:
            groups[id(op.args[0])].append((op, *found))
    for group in groups.values():
        axes, taken = {axis for _, axis, _ in group}, [part for _, _, part in group]
        kinds = {type(part) for part in taken}
        if len(axes) != 1 or len(kinds) != 1 or not 1 < len(taken) <= MOST_PARTS or len(set(map(str, taken))) < 2:
            continue
        (axis,) = axes
        for order in itertools.permutations(range(len(taken))):
            if list(order) != sorted(order):
                others = _in_order(taken, order)
                detail = f"parts of axis {axis} in the order {list(order)}"
                swap: dict[int, Replace] = {
                    op.index: lambda o, p=part, a=axis: o.args[0][(slice(None),) * a + (p,)]
                    for (op, _, _), part in zip(group, others, strict=True)
                }
                yield Suspect("chunk-order", group[0][0].owner, detail, swap)


def _one_part(op: Op) -> tuple[int, int | slice] | None:
    """Axis and part of an index that takes one place or one stretch of one axis, and all of the others."""
    x, index = op.args[0], op.args[1] if isinstance(op.args[1], tuple) else (op.args[1],)
    if not isinstance(x, Tensor) or not all(type(part) is int or isinstance(part, slice) for part in index):
        return None
    cut = [(axis, part) for axis, part in enumerate(index) if part != slice(None)]
    if len(cut) != 1:
        return None
    axis, part = cut[0]
    size = x.shape[axis]
    if not isinstance(part, slice):
        return axis, part % size
    start, stop, step = part.indices(size)
    return (axis, slice(start, stop)) if step == 1 else None


def _in_order(taken: list[Any], order: tuple[int, ...]) -> list[Any]:
    """The parts in another order: indices change places, stretches keep their lengths and follow each other."""
    if not isinstance(taken[0], slice):
        return [taken[i] for i in order]
    start, found = min(part.start for part in taken), dict[int, slice]()
    for i in order:
        length = taken[i].stop - taken[i].start
        found[i] = slice(start, start + length)
        start += length
    return [found[i] for i in range(len(taken))]


FAMILY = Family("parts", {"getitem": taking}, parts)
