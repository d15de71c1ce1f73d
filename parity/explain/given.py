"""What a module is given: masks that are ignored or inverted, axes turned round, numbers scaled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations

import numpy as np

from parity.explain.scene import Scene
from parity.explain.suspect import Family, Hypothesis, Suspect
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
