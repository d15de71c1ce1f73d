"""Transforms that take several arrays or give several: the rest of the algebra begun in `transforms`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weight_bridge._errors import MisfitError
from weight_bridge.spec import Spec
from weight_bridge.transforms import (
    Arrays,
    Chain,
    Flip,
    Identity,
    Information,
    Permute,
    Reshape,
    Specs,
    Transform,
    single,
)


def _alike(specs: Specs, who: Transform) -> Spec:
    if not specs or any(spec != specs[0] for spec in specs):
        raise MisfitError(f"{who} takes arrays of one shape and dtype, got {', '.join(map(str, specs)) or 'none'}")
    return specs[0]


def _lone(part: Transform, spec: Spec) -> Spec:
    """What a part makes of one array, which must be one array."""
    found = part.infer((spec,))
    if len(found) != 1:
        raise MisfitError(f"{part} gives {len(found)} arrays where one is expected")
    return found[0]


@dataclass(frozen=True)
class Split(Transform):
    """Cuts one array along an axis into pieces of the given sizes."""

    axis: int
    sizes: tuple[int, ...]

    def infer(self, specs: Specs) -> Specs:
        spec = single(specs, self)
        if not 0 <= self.axis < len(spec.shape) or sum(self.sizes) != spec.shape[self.axis]:
            raise MisfitError(f"{self} does not cut {spec} without a rest")
        head, tail = spec.shape[: self.axis], spec.shape[self.axis + 1 :]
        return tuple(Spec((*head, size, *tail), spec.dtype) for size in self.sizes)

    def apply(self, arrays: Arrays) -> Arrays:
        return tuple(np.split(arrays[0], np.cumsum(self.sizes)[:-1], axis=self.axis))

    def inverse(self, specs: Specs) -> Transform:
        return Concat(self.axis)

    def transpose(self, specs: Specs) -> Transform:
        return Concat(self.axis)


@dataclass(frozen=True)
class Concat(Transform):
    """Joins arrays along an axis."""

    axis: int

    def infer(self, specs: Specs) -> Specs:
        if not specs or any(not 0 <= self.axis < len(spec.shape) for spec in specs):
            raise MisfitError(f"{self} names an axis that {', '.join(map(str, specs)) or 'nothing'} lacks")
        rests = {(*spec.shape[: self.axis], *spec.shape[self.axis + 1 :], spec.dtype) for spec in specs}
        if len(rests) != 1:
            raise MisfitError(f"{self} cannot join {', '.join(map(str, specs))}")
        shape = list(specs[0].shape)
        shape[self.axis] = sum(spec.shape[self.axis] for spec in specs)
        return (Spec(tuple(shape), specs[0].dtype),)

    def apply(self, arrays: Arrays) -> Arrays:
        return (np.concatenate(arrays, axis=self.axis),)

    def inverse(self, specs: Specs) -> Transform:
        return Split(self.axis, tuple(spec.shape[self.axis] for spec in specs))

    def transpose(self, specs: Specs) -> Transform:
        return self.inverse(specs)


@dataclass(frozen=True)
class Stack(Transform):
    """Joins arrays of one shape along a new axis, as a scanned layer stores them."""

    axis: int

    def infer(self, specs: Specs) -> Specs:
        spec = _alike(specs, self)
        if not 0 <= self.axis <= len(spec.shape):
            raise MisfitError(f"{self} names an axis that {spec} cannot take")
        return (Spec((*spec.shape[: self.axis], len(specs), *spec.shape[self.axis :]), spec.dtype),)

    def apply(self, arrays: Arrays) -> Arrays:
        return (np.stack(arrays, axis=self.axis),)

    def inverse(self, specs: Specs) -> Transform:
        return Unstack(self.axis)

    def transpose(self, specs: Specs) -> Transform:
        return Unstack(self.axis)


@dataclass(frozen=True)
class Unstack(Transform):
    """Takes an axis apart: one array per position."""

    axis: int

    def infer(self, specs: Specs) -> Specs:
        spec = single(specs, self)
        if not 0 <= self.axis < len(spec.shape):
            raise MisfitError(f"{self} names an axis that {spec} lacks")
        piece = Spec((*spec.shape[: self.axis], *spec.shape[self.axis + 1 :]), spec.dtype)
        return (piece,) * spec.shape[self.axis]

    def apply(self, arrays: Arrays) -> Arrays:
        return tuple(np.moveaxis(arrays[0], self.axis, 0))

    def inverse(self, specs: Specs) -> Transform:
        return Stack(self.axis)

    def transpose(self, specs: Specs) -> Transform:
        return Stack(self.axis)


@dataclass(frozen=True)
class Each(Transform):
    """One transform on each array of the tuple."""

    part: Transform

    def infer(self, specs: Specs) -> Specs:
        return tuple(_lone(self.part, spec) for spec in specs)

    def apply(self, arrays: Arrays) -> Arrays:
        return tuple(self.part.apply((array,))[0] for array in arrays)

    def inverse(self, specs: Specs) -> Transform:
        return self._back([self.part.inverse((spec,)) for spec in specs])

    def transpose(self, specs: Specs) -> Transform:
        return self._back([self.part.transpose((spec,)) for spec in specs])

    def information(self, specs: Specs) -> Information:
        found = {self.part.information((spec,)) for spec in specs}
        return "lossy" if "lossy" in found else "folded" if "folded" in found else "exact"

    def _back(self, parts: list[Transform]) -> Transform:
        return Each(parts[0]) if all(part == parts[0] for part in parts) else Beside(tuple(parts))

    def __str__(self) -> str:
        return f"each({self.part})"


@dataclass(frozen=True)
class Beside(Transform):
    """The i-th transform on the i-th array."""

    parts: tuple[Transform, ...]

    def infer(self, specs: Specs) -> Specs:
        if len(specs) != len(self.parts):
            raise MisfitError(f"{self} takes {len(self.parts)} arrays, got {len(specs)}")
        return tuple(_lone(part, spec) for part, spec in zip(self.parts, specs, strict=True))

    def apply(self, arrays: Arrays) -> Arrays:
        return tuple(part.apply((array,))[0] for part, array in zip(self.parts, arrays, strict=True))

    def inverse(self, specs: Specs) -> Transform:
        return Beside(tuple(part.inverse((spec,)) for part, spec in zip(self.parts, specs, strict=True)))

    def transpose(self, specs: Specs) -> Transform:
        return Beside(tuple(part.transpose((spec,)) for part, spec in zip(self.parts, specs, strict=True)))

    def information(self, specs: Specs) -> Information:
        found = {part.information((spec,)) for part, spec in zip(self.parts, specs, strict=True)}
        return "lossy" if "lossy" in found else "folded" if "folded" in found else "exact"


@dataclass(frozen=True)
class Reorder(Transform):
    """Orders the tuple anew: the i-th result is input `order[i]` (the gates of a recurrent cell)."""

    order: tuple[int, ...]

    def infer(self, specs: Specs) -> Specs:
        if sorted(self.order) != list(range(len(specs))):
            raise MisfitError(f"{self} does not order {len(specs)} arrays")
        return tuple(specs[index] for index in self.order)

    def apply(self, arrays: Arrays) -> Arrays:
        return tuple(arrays[index] for index in self.order)

    def inverse(self, specs: Specs) -> Transform:
        return Reorder(tuple(self.order.index(index) for index in range(len(self.order))))

    def transpose(self, specs: Specs) -> Transform:
        return self.inverse(specs)


@dataclass(frozen=True)
class Sum(Transform):
    """Adds arrays of one shape; undone by giving all to the first, so only the sum survives."""

    def infer(self, specs: Specs) -> Specs:
        return (_alike(specs, self),)

    def apply(self, arrays: Arrays) -> Arrays:
        total = arrays[0]
        for array in arrays[1:]:
            total = total + array
        return (total,)

    def inverse(self, specs: Specs) -> Transform:
        return Lead(len(specs))

    def transpose(self, specs: Specs) -> Transform:
        return Copy(len(specs))

    def information(self, specs: Specs) -> Information:
        return "folded" if len(specs) > 1 else "exact"


@dataclass(frozen=True)
class Copy(Transform):
    """The same array several times (a tied tensor for a target that stores it twice)."""

    count: int

    def infer(self, specs: Specs) -> Specs:
        return (single(specs, self),) * self.count

    def apply(self, arrays: Arrays) -> Arrays:
        return arrays * self.count

    def inverse(self, specs: Specs) -> Transform:
        return Agree(self.count)

    def transpose(self, specs: Specs) -> Transform:
        return Sum()


@dataclass(frozen=True)
class Agree(Transform):
    """The one array that all inputs are, bit for bit; copies that were trained apart are refused."""

    count: int

    def infer(self, specs: Specs) -> Specs:
        return (_alike(specs, self),)

    def apply(self, arrays: Arrays) -> Arrays:
        first = np.ascontiguousarray(arrays[0])
        if any(np.ascontiguousarray(array).tobytes() != first.tobytes() for array in arrays[1:]):
            raise MisfitError("copies of one tied tensor differ: there is no single tensor to go back to")
        return (arrays[0],)

    def inverse(self, specs: Specs) -> Transform:
        return Copy(self.count)

    def transpose(self, specs: Specs) -> Transform:
        return Lead(self.count)


@dataclass(frozen=True)
class Lead(Transform):
    """The array first, then zeros: a way back from a sum."""

    count: int

    def infer(self, specs: Specs) -> Specs:
        return (single(specs, self),) * self.count

    def apply(self, arrays: Arrays) -> Arrays:
        return (arrays[0], *(np.zeros_like(arrays[0]) for _ in range(self.count - 1)))

    def inverse(self, specs: Specs) -> Transform:
        return Sum()

    def transpose(self, specs: Specs) -> Transform:
        return Pick(self.count)


@dataclass(frozen=True)
class Pick(Transform):
    """The first array of the tuple; the others are dropped."""

    count: int

    def infer(self, specs: Specs) -> Specs:
        return (_alike(specs, self),)

    def apply(self, arrays: Arrays) -> Arrays:
        return arrays[:1]

    def inverse(self, specs: Specs) -> Transform:
        return Lead(self.count)

    def transpose(self, specs: Specs) -> Transform:
        return Lead(self.count)

    def information(self, specs: Specs) -> Information:
        return "lossy" if self.count > 1 else "exact"


@dataclass(frozen=True)
class Combine(Transform):
    """The i-th result is the sum of the inputs that `groups[i]` names; of none, zeros.

    Undone by giving each sum to the first of its inputs and zeros to the others.
    """

    groups: tuple[tuple[int, ...], ...]

    def infer(self, specs: Specs) -> Specs:
        spec = _alike(specs, self)
        if any(not 0 <= index < len(specs) for group in self.groups for index in group):
            raise MisfitError(f"{self} names one of {len(specs)} arrays that is not there")
        return (spec,) * len(self.groups)

    def apply(self, arrays: Arrays) -> Arrays:
        return tuple(
            sum((arrays[index] for index in group[1:]), start=arrays[group[0]]) if group else np.zeros_like(arrays[0])
            for group in self.groups
        )

    def inverse(self, specs: Specs) -> Transform:
        first: dict[int, int] = {}
        for place, group in enumerate(self.groups):
            for index in group[:1]:
                first.setdefault(index, place)
        return Combine(tuple((first[index],) if index in first else () for index in range(len(specs))))

    def transpose(self, specs: Specs) -> Transform:
        return Combine(
            tuple(
                tuple(place for place, group in enumerate(self.groups) for named in group if named == index)
                for index in range(len(specs))
            )
        )

    def information(self, specs: Specs) -> Information:
        named = [index for group in self.groups for index in group]
        if len(set(named)) < len(specs):
            return "lossy"
        return "exact" if len(named) == len(specs) == len(self.groups) else "folded"


_REARRANGING = (Identity, Permute, Reshape, Flip, Split, Concat, Stack, Unstack, Reorder)


def rearranges(transform: Transform) -> bool:
    """Returns whether a transform puts every element in one place and leaves it as it is.

    Example:
      >>> rearranges(Permute((1, 0))), rearranges(Chain((Permute((1, 0)), Flip((0,)))))
      (True, True)
    """
    if isinstance(transform, Chain | Beside):
        return all(map(rearranges, transform.parts))
    return rearranges(transform.part) if isinstance(transform, Each) else isinstance(transform, _REARRANGING)
