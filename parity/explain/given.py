"""What a module is given: masks that are ignored or inverted, axes turned round, numbers scaled."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import combinations
from typing import Any
from unittest.mock import patch

import numpy as np

from parity import structure
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect
from parity.record import Arrays

MOST_AXIS = 4
"""Size of an axis whose order may be that of colours."""


def arguments(scene: Scene) -> Iterator[Hypothesis]:
    """Every argument, taken otherwise."""
    for leaf, value in scene.inputs.items():
        name = leaf.removeprefix("input")
        if _flags(value):
            yield _with(scene, "mask-ignored", f"argument {name} counts everywhere", leaf, np.ones_like)
            yield _with(scene, "mask-ignored", f"argument {name} counts nowhere", leaf, np.zeros_like)
            yield _with(scene, "mask-inverted", f"argument {name} has the other polarity", leaf, _inverse)
        elif value.ndim > 1:
            for axis in range(1, value.ndim):
                if 1 < value.shape[axis] <= MOST_AXIS:
                    detail = f"argument {name} reversed along axis {axis}"
                    yield _with(scene, "preprocess-mismatch", detail, leaf, partial(np.flip, axis=axis))
    yield from _capacity(scene)
    yield from _rearranged(scene)
    yield from _told(scene)


def _rearranged(scene: Scene) -> Iterator[Hypothesis]:
    """Two axes of one size exchanged, as where classes stand last; one argument added to another too early."""
    floats = {leaf: value for leaf, value in scene.inputs.items() if value.dtype.kind == "f" and value.size > 1}
    for leaf, value in floats.items():
        name = leaf.removeprefix("input")
        for a, b in combinations(range(1, value.ndim), 2):
            if value.shape[a] == value.shape[b] > 1:
                detail = f"argument {name} with axes {a} and {b} exchanged"
                yield _with(scene, "transpose-order", detail, leaf, partial(np.swapaxes, axis1=a, axis2=b))
        for other, more in floats.items():
            fits = value.ndim == more.ndim and all(n in (1, m) for n, m in zip(more.shape, value.shape, strict=True))
            if other != leaf and fits:
                detail = f"argument {other.removeprefix('input')} is added to argument {name} before all else"
                yield Suspect("wrong-variable", scene.name, detail, inputs=partial(_added, leaf, other))


def _added(leaf: str, other: str, arrays: Arrays) -> Arrays:
    """One argument added to another, and nothing left of it."""
    return {leaf: arrays[leaf] + arrays[other], other: np.zeros_like(arrays[other])}


def _capacity(scene: Scene) -> Iterator[Hypothesis]:
    """Rows beyond a capacity of each column, in a matrix of few positive weights, as a router gives it."""
    for leaf, value in scene.inputs.items():
        sparse = (
            value.ndim == 2 and value.dtype.kind == "f" and value.size and np.all(value >= 0) and np.any(value == 0)
        )
        if sparse and len(scene.inputs) > 1:
            for most in range(1, int(np.cumsum(value > 0, 0).max())):
                detail = f"argument {leaf.removeprefix('input')} beyond {most} rows of a column is dropped"
                yield _with(scene, "moe-capacity-drop", detail, leaf, partial(_kept, most))


def _kept(most: int, value: np.ndarray) -> np.ndarray:
    """A matrix with no more than some rows of each column."""
    return np.where(np.cumsum(value > 0, 0) <= most, value, 0)


def _told(scene: Scene) -> Iterator[Hypothesis]:
    """Whole numbers, such as positions, as the candidate hands them to a module that is right with the reference's."""
    children = sorted(scene.twin.children if scene.twin is not None else (), key=lambda twin: twin.reference.order)
    for name in dict.fromkeys(child.reference.name for child in children if child.misled):
        calls = [child for child in children if child.reference.name == name]
        numbers = [{ours: child.candidate.scalars[theirs] for theirs, ours in child.misled.items()} for child in calls]
        first, some = next((child, some) for child, some in zip(calls, numbers, strict=True) if some)
        (leaf, number), *_ = some.items()
        right, place = first.reference.scalars[leaf], leaf.removeprefix("input")
        detail = f"{first.reference} is given {number} in place of {right} as its argument {place}"
        module = scene.module.get_submodule(name.removeprefix(scene.name).removeprefix("."))
        yield Suspect("argument-differs", scene.name, detail, around=partial(_telling, module, numbers))


@contextmanager
def _telling(module: Any, numbers: list[dict[str, np.ndarray]]) -> Generator[None]:
    """A module whose calls, one after the other, are given other numbers."""
    forward, turns = module.forward, iter(numbers)

    def otherwise(*args: Any, **kwargs: Any) -> Any:
        told = {leaf: value.item() for leaf, value in next(turns, {}).items()}
        return forward(*structure.replaced(args, told, "input"), **structure.replaced(kwargs, told, "input"))

    with patch.object(module, "forward", otherwise):
        yield


def _with(scene: Scene, cause: str, detail: str, leaf: str, change: Callable[[np.ndarray], np.ndarray]) -> Suspect:
    """One argument given otherwise, whatever its values."""
    return Suspect(cause, scene.name, detail, inputs=lambda arrays: {leaf: np.ascontiguousarray(change(arrays[leaf]))})


def _inverse(value: np.ndarray) -> np.ndarray:
    return ~value if value.dtype == bool else 1 - value


def _flags(value: np.ndarray) -> bool:
    """Whether an array holds flags, as booleans or as zeros and ones."""
    return value.size > 1 and (
        value.dtype == bool or (value.dtype.kind in "fiu" and bool(np.isin(value, (0, 1)).all()))
    )


FAMILY = Family("given", {}, arguments)
