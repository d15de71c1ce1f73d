"""Parts of leaves from parts of tensors: a region of a leaf is traced back to the regions it is made of, and only those
are read.

A transform that moves elements along axes is traced; behind any other, such as a reshape, the whole tensor is read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from weight_bridge.blocks import Region
from weight_bridge.joint import Beside, Concat, Copy, Each, Reorder, Split, Stack, Sum, Unstack
from weight_bridge.spec import Array, Spec
from weight_bridge.transforms import Cast, Chain, Flip, Identity, Permute, Transform


class Part(ABC):
    """An array of which regions can be had.

    Args:
      spec: shape and dtype of the whole.
    """

    spec: Spec

    @abstractmethod
    def at(self, region: Region) -> Array:
        """Returns the elements in a region: a slice with start and stop for each axis."""

    def whole(self) -> Array:
        """Returns all of it."""
        return self.at(tuple(slice(0, extent) for extent in self.spec.shape))


@dataclass(frozen=True)
class Stored(Part):
    """A tensor of a checkpoint."""

    spec: Spec
    read: Callable[[], Array]

    def at(self, region: Region) -> Array:
        return np.asarray(self.read()[(..., *region)])


@dataclass(frozen=True)
class Made(Part):
    """What a function makes of a region."""

    spec: Spec
    make: Callable[[Region], Array]

    def at(self, region: Region) -> Array:
        return self.make(region)


class Opaque:
    """The results of a transform that is not traced; they are computed once, whole."""

    def __init__(self, transform: Transform, parts: Sequence[Part]) -> None:
        self._transform, self._parts = transform, parts
        self._found: tuple[Array, ...] | None = None

    def result(self, number: int, region: Region) -> Array:
        """Returns a region of one of the results."""
        if self._found is None:
            self._found = self._transform.apply(tuple(part.whole() for part in self._parts))
        return self._found[number][(..., *region)]


def traced(transform: Transform, parts: Sequence[Part]) -> list[Part]:
    """Returns the results of a transform as parts of its inputs.

    Args:
      transform: any.
      parts: its inputs.

    Example:
      >>> matrix = Stored(Spec((2, 3), "int64"), lambda: np.arange(6).reshape(2, 3))
      >>> traced(Permute((1, 0)), [matrix])[0].at((slice(1, 3), slice(0, 1)))
      array([[1],
             [2]])
    """
    if isinstance(transform, Chain):
        for inner in transform.parts:
            parts = traced(inner, parts)
        return list(parts)
    if isinstance(transform, Each):
        return [result for part in parts for result in traced(transform.part, [part])]
    if isinstance(transform, Beside):
        pairs = zip(transform.parts, parts, strict=True)
        return [result for inner, part in pairs for result in traced(inner, [part])]
    if isinstance(transform, Reorder):
        return [parts[number] for number in transform.order]
    specs = transform.infer(tuple(part.spec for part in parts))
    found = _TRACED.get(type(transform))
    if found is not None:
        return [Made(spec, found(transform, parts, number)) for number, spec in enumerate(specs)]
    whole = Opaque(transform, parts)
    return [Made(spec, lambda region, n=number: whole.result(n, region)) for number, spec in enumerate(specs)]


Making = Callable[[Region], Array]


def _same(transform: Identity | Copy, parts: Sequence[Part], number: int) -> Making:
    del transform, number
    return parts[0].at


def _permuted(transform: Permute, parts: Sequence[Part], number: int) -> Making:
    del number
    axes = transform.axes
    return lambda region: np.transpose(parts[0].at(tuple(region[axes.index(a)] for a in range(len(axes)))), axes)


def _flipped(transform: Flip, parts: Sequence[Part], number: int) -> Making:
    del number
    shape = parts[0].spec.shape

    def make(region: Region) -> Array:
        mirrored = [
            slice(shape[axis] - cut.stop, shape[axis] - cut.start) if axis in transform.axes else cut
            for axis, cut in enumerate(region)
        ]
        return np.flip(parts[0].at(tuple(mirrored)), transform.axes)

    return make


def _cast(transform: Cast, parts: Sequence[Part], number: int) -> Making:
    del number
    return lambda region: transform.apply((parts[0].at(region),))[0]


def _summed(transform: Sum, parts: Sequence[Part], number: int) -> Making:
    del number
    return lambda region: transform.apply(tuple(part.at(region) for part in parts))[0]


def _cut(transform: Split, parts: Sequence[Part], number: int) -> Making:
    return lambda region: parts[0].at(_moved(region, transform.axis, sum(transform.sizes[:number])))


def _joined(transform: Concat, parts: Sequence[Part], number: int) -> Making:
    del number
    axis = transform.axis

    def make(region: Region) -> Array:
        found: list[Array] = []
        begin = 0
        for part in parts:
            end = begin + part.spec.shape[axis]
            start, stop = max(begin, region[axis].start), min(end, region[axis].stop)
            if start < stop:
                found.append(part.at((*region[:axis], slice(start - begin, stop - begin), *region[axis + 1 :])))
            begin = end
        return np.concatenate(found, axis=axis) if found else parts[0].at(_moved(region, axis, 0))

    return make


def _stacked(transform: Stack, parts: Sequence[Part], number: int) -> Making:
    del number
    axis = transform.axis

    def make(region: Region) -> Array:
        rest = (*region[:axis], *region[axis + 1 :])
        return np.stack([part.at(rest) for part in parts[region[axis]]], axis=axis)

    return make


def _unstacked(transform: Unstack, parts: Sequence[Part], number: int) -> Making:
    axis = transform.axis
    one = slice(number, number + 1)
    return lambda region: np.squeeze(parts[0].at((*region[:axis], one, *region[axis:])), axis)


def _moved(region: Region, axis: int, by: int) -> Region:
    cut = region[axis]
    return (*region[:axis], slice(cut.start + by, cut.stop + by), *region[axis + 1 :])


_TRACED: dict[type[Transform], Callable[..., Making]] = {
    Identity: _same,
    Copy: _same,
    Permute: _permuted,
    Flip: _flipped,
    Cast: _cast,
    Sum: _summed,
    Split: _cut,
    Concat: _joined,
    Stack: _stacked,
    Unstack: _unstacked,
}
