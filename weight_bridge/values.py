"""Transforms that know or change numbers: constants, shifts, slices that must be zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weight_bridge._dtypes import numpy_dtype
from weight_bridge._errors import MisfitError
from weight_bridge.spec import Spec
from weight_bridge.transforms import IDENTITY, Arrays, Information, Specs, Transform, single


@dataclass(frozen=True)
class Fill(Transform):
    """An array of one number, made from nothing: what a target keeps and no checkpoint holds."""

    value: int
    shape: tuple[int, ...]
    dtype: str

    def infer(self, specs: Specs) -> Specs:
        if specs:
            raise MisfitError(f"{self} takes no array, got {len(specs)}")
        return (Spec(self.shape, self.dtype),)

    def apply(self, arrays: Arrays) -> Arrays:
        return (np.full(self.shape, self.value, numpy_dtype(self.dtype)),)

    def inverse(self, specs: Specs) -> Transform:
        return Drop()

    def transpose(self, specs: Specs) -> Transform:
        return Drop()

    def information(self, specs: Specs) -> Information:
        return "folded"


@dataclass(frozen=True)
class Drop(Transform):
    """Takes an array and gives none: the way back from a constant."""

    def infer(self, specs: Specs) -> Specs:
        single(specs, self)
        return ()

    def apply(self, arrays: Arrays) -> Arrays:
        return ()

    def inverse(self, specs: Specs) -> Transform:
        return Fill(0, specs[0].shape, specs[0].dtype)

    def transpose(self, specs: Specs) -> Transform:
        return Fill(0, specs[0].shape, specs[0].dtype)

    def information(self, specs: Specs) -> Information:
        return "lossy"


@dataclass(frozen=True)
class Shift(Transform):
    """Adds a whole number; its rounding is why the way back may miss the last bit."""

    by: int

    def infer(self, specs: Specs) -> Specs:
        return (single(specs, self),)

    def apply(self, arrays: Arrays) -> Arrays:
        return (arrays[0] + arrays[0].dtype.type(self.by),)

    def inverse(self, specs: Specs) -> Transform:
        return Shift(-self.by)

    def transpose(self, specs: Specs) -> Transform:
        return IDENTITY

    def information(self, specs: Specs) -> Information:
        return "folded"


@dataclass(frozen=True)
class Vacant(Transform):
    """Passes an array that is zero from `start` to `stop` along its first axis; any other is refused.

    For what a target has no place for, such as the hidden bias of a GRU's new gate.
    """

    start: int
    stop: int

    def infer(self, specs: Specs) -> Specs:
        spec = single(specs, self)
        if not spec.shape or not 0 <= self.start <= self.stop <= spec.shape[0]:
            raise MisfitError(f"{self} names elements that {spec} lacks")
        return (spec,)

    def apply(self, arrays: Arrays) -> Arrays:
        part = arrays[0][self.start : self.stop]
        if count := int(np.count_nonzero(part)):
            raise MisfitError(
                f"the target has no place for elements {self.start} to {self.stop - 1}, which must be zero: "
                f"{count} of {part.size} are not, up to {np.abs(part).max():.3g}"
            )
        return arrays

    def inverse(self, specs: Specs) -> Transform:
        return Blank(self.start, self.stop)

    def transpose(self, specs: Specs) -> Transform:
        return Blank(self.start, self.stop)

    def information(self, specs: Specs) -> Information:
        return "folded"


@dataclass(frozen=True)
class Blank(Transform):
    """Sets elements from `start` to `stop` along the first axis to zero."""

    start: int
    stop: int

    def infer(self, specs: Specs) -> Specs:
        return Vacant(self.start, self.stop).infer(specs)

    def apply(self, arrays: Arrays) -> Arrays:
        array = np.array(arrays[0])
        array[self.start : self.stop] = 0
        return (array,)

    def inverse(self, specs: Specs) -> Transform:
        return IDENTITY

    def transpose(self, specs: Specs) -> Transform:
        return self

    def information(self, specs: Specs) -> Information:
        return "lossy"
