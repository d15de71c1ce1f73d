"""Transforms that take one axis apart, join axes, or order a flattened axis anew."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from weight_bridge._errors import MisfitError
from weight_bridge.spec import Spec
from weight_bridge.transforms import Arrays, Specs, Transform, single


@dataclass(frozen=True)
class Unflatten(Transform):
    """Takes one axis apart into axes of the given sizes, row-major (a projection's outputs into heads)."""

    axis: int
    sizes: tuple[int, ...]

    def infer(self, specs: Specs) -> Specs:
        spec = single(specs, self)
        if not 0 <= self.axis < len(spec.shape) or math.prod(self.sizes) != spec.shape[self.axis]:
            raise MisfitError(f"{self} does not take an axis of {spec} apart")
        return (Spec((*spec.shape[: self.axis], *self.sizes, *spec.shape[self.axis + 1 :]), spec.dtype),)

    def apply(self, arrays: Arrays) -> Arrays:
        shape = arrays[0].shape
        return (np.reshape(arrays[0], (*shape[: self.axis], *self.sizes, *shape[self.axis + 1 :])),)

    def inverse(self, specs: Specs) -> Transform:
        return Flatten(self.axis, len(self.sizes))

    def transpose(self, specs: Specs) -> Transform:
        return self.inverse(specs)


@dataclass(frozen=True)
class Flatten(Transform):
    """Joins `count` axes, from `axis` on, into one."""

    axis: int
    count: int

    def infer(self, specs: Specs) -> Specs:
        spec = single(specs, self)
        end = self.axis + self.count
        if not 0 <= self.axis < end <= len(spec.shape):
            raise MisfitError(f"{self} names axes that {spec} lacks")
        joined = math.prod(spec.shape[self.axis : end])
        return (Spec((*spec.shape[: self.axis], joined, *spec.shape[end:]), spec.dtype),)

    def apply(self, arrays: Arrays) -> Arrays:
        shape = arrays[0].shape
        return (np.reshape(arrays[0], (*shape[: self.axis], -1, *shape[self.axis + self.count :])),)

    def inverse(self, specs: Specs) -> Transform:
        return Unflatten(self.axis, specs[0].shape[self.axis : self.axis + self.count])

    def transpose(self, specs: Specs) -> Transform:
        return self.inverse(specs)


@dataclass(frozen=True)
class Regroup(Transform):
    """Orders an axis anew that several axes of sizes `sizes` were flattened into.

    `regroup(axis=1, sizes=(16, 5, 5), order=(1, 2, 0))` turns the inputs of a linear layer that follows a flattened
    (channel, row, column) into those of one that follows a flattened (row, column, channel).
    """

    axis: int
    sizes: tuple[int, ...]
    order: tuple[int, ...]

    def infer(self, specs: Specs) -> Specs:
        spec = single(specs, self)
        if sorted(self.order) != list(range(len(self.sizes))):
            raise MisfitError(f"{self} does not order {len(self.sizes)} axes")
        Unflatten(self.axis, self.sizes).infer(specs)
        return (spec,)

    def apply(self, arrays: Arrays) -> Arrays:
        places = np.arange(math.prod(self.sizes)).reshape(self.sizes).transpose(self.order).reshape(-1)
        return (np.take(arrays[0], places, axis=self.axis),)

    def inverse(self, specs: Specs) -> Transform:
        sizes = tuple(self.sizes[axis] for axis in self.order)
        return Regroup(self.axis, sizes, tuple(self.order.index(axis) for axis in range(len(self.order))))

    def transpose(self, specs: Specs) -> Transform:
        return self.inverse(specs)
