"""A closed algebra on tuples of arrays: what a step may do to numbers, and how it is undone.

Each transform is a frozen dataclass that maps a tuple of arrays to a tuple of arrays. `infer` decides shapes and
dtypes without an array; `inverse` and `transpose` are transforms again. `inverse` carries values back; `transpose`,
the adjoint of the linear map, carries gradients back. They differ where information is folded: a sum of two biases is
undone by putting all into the first, but its gradient goes to both.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np

from weight_bridge._dtypes import holds, numpy_dtype
from weight_bridge._errors import MisfitError
from weight_bridge.spec import Array, Spec

Arrays = tuple[Array, ...]
Specs = tuple[Spec, ...]
Information = Literal["exact", "folded", "lossy"]


class Transform(ABC):
    """One map from a tuple of arrays to a tuple of arrays; `str` gives the text that a rule file holds."""

    @abstractmethod
    def infer(self, specs: Specs) -> Specs:
        """Returns shapes and dtypes of the result; raises `MisfitError` where there is none."""

    @abstractmethod
    def apply(self, arrays: Arrays) -> Arrays:
        """Returns the transformed arrays: views where numpy can."""

    @abstractmethod
    def inverse(self, specs: Specs) -> Transform:
        """Returns the way back, given the specs of the inputs."""

    @abstractmethod
    def transpose(self, specs: Specs) -> Transform:
        """Returns the adjoint, given the specs of the inputs."""

    @property
    def curved(self) -> bool:
        """Whether the derivative depends on where it is taken."""
        return False

    def pullback(self, specs: Specs, cotangents: Arrays, primals: Arrays) -> Arrays:
        """Returns the inputs' gradients from those of the results; `primals` matter to curved transforms alone."""
        del primals
        return self.transpose(specs).apply(cotangents)

    def information(self, specs: Specs) -> Information:
        """Returns what happens to information on inputs of these specs."""
        del specs
        return "exact"

    def __str__(self) -> str:
        name = type(self).__name__.lower()
        values: dict[str, object] = vars(self)
        parts: list[str] = []
        for field, value in values.items():
            if isinstance(value, tuple) and len(values) == 1:
                parts.extend(str(item) for item in value)
            else:
                parts.append(f"{field}={value!r}" if isinstance(value, str | tuple) else f"{field}={value}")
        return f"{name}({', '.join(parts)})"


def single(specs: Specs, who: Transform) -> Spec:
    """Returns the one spec that `who` takes; raises `MisfitError` if there are others."""
    if len(specs) != 1:
        raise MisfitError(f"{who} takes one array, got {len(specs)}")
    return specs[0]


@dataclass(frozen=True)
class Identity(Transform):
    """Changes nothing."""

    def infer(self, specs: Specs) -> Specs:
        return specs

    def apply(self, arrays: Arrays) -> Arrays:
        return arrays

    def inverse(self, specs: Specs) -> Transform:
        return self

    def transpose(self, specs: Specs) -> Transform:
        return self


IDENTITY = Identity()


@dataclass(frozen=True)
class Permute(Transform):
    """Orders the axes anew: axis i of the result is axis `axes[i]` of the input, as `numpy.transpose` has it."""

    axes: tuple[int, ...]

    def infer(self, specs: Specs) -> Specs:
        spec = single(specs, self)
        if sorted(self.axes) != list(range(len(spec.shape))):
            raise MisfitError(f"{self} does not permute the {len(spec.shape)} axes of {spec}")
        return (Spec(tuple(spec.shape[axis] for axis in self.axes), spec.dtype),)

    def apply(self, arrays: Arrays) -> Arrays:
        return (np.transpose(arrays[0], self.axes),)

    def inverse(self, specs: Specs) -> Transform:
        return Permute(tuple(self.axes.index(axis) for axis in range(len(self.axes))))

    def transpose(self, specs: Specs) -> Transform:
        return self.inverse(specs)


@dataclass(frozen=True)
class Reshape(Transform):
    """Same elements in row-major order, other extents."""

    shape: tuple[int, ...]

    def infer(self, specs: Specs) -> Specs:
        spec = single(specs, self)
        if math.prod(self.shape) != spec.size:
            raise MisfitError(f"{self} has {math.prod(self.shape)} elements, {spec} has {spec.size}")
        return (Spec(self.shape, spec.dtype),)

    def apply(self, arrays: Arrays) -> Arrays:
        return (np.reshape(arrays[0], self.shape),)

    def inverse(self, specs: Specs) -> Transform:
        return Reshape(specs[0].shape)

    def transpose(self, specs: Specs) -> Transform:
        return self.inverse(specs)


@dataclass(frozen=True)
class Flip(Transform):
    """Reverses the order along the given axes."""

    axes: tuple[int, ...]

    def infer(self, specs: Specs) -> Specs:
        spec = single(specs, self)
        if any(not 0 <= axis < len(spec.shape) for axis in self.axes):
            raise MisfitError(f"{self} names an axis that {spec} lacks")
        return (spec,)

    def apply(self, arrays: Arrays) -> Arrays:
        return (np.flip(arrays[0], self.axes),)

    def inverse(self, specs: Specs) -> Transform:
        return self

    def transpose(self, specs: Specs) -> Transform:
        return self


@dataclass(frozen=True)
class Cast(Transform):
    """Rounds to another dtype; gradients pass through as they are."""

    dtype: str

    def infer(self, specs: Specs) -> Specs:
        return (Spec(single(specs, self).shape, self.dtype),)

    def apply(self, arrays: Arrays) -> Arrays:
        with np.errstate(
            over="ignore", under="ignore", invalid="ignore"
        ):  # losses are counted and reported by the bridge
            return (arrays[0].astype(numpy_dtype(self.dtype), copy=False),)

    def inverse(self, specs: Specs) -> Transform:
        return Cast(specs[0].dtype)

    def transpose(self, specs: Specs) -> Transform:
        return Identity()

    def information(self, specs: Specs) -> Information:
        return "exact" if holds(self.dtype, specs[0].dtype) else "lossy"


@dataclass(frozen=True)
class Chain(Transform):
    """One transform after the other, left to right."""

    parts: tuple[Transform, ...]

    def infer(self, specs: Specs) -> Specs:
        return self._stages(specs)[-1]

    def apply(self, arrays: Arrays) -> Arrays:
        for part in self.parts:
            arrays = part.apply(arrays)
        return arrays

    def inverse(self, specs: Specs) -> Transform:
        stages = self._stages(specs)
        return chain(*reversed([part.inverse(stage) for part, stage in zip(self.parts, stages, strict=False)]))

    def transpose(self, specs: Specs) -> Transform:
        stages = self._stages(specs)
        return chain(*reversed([part.transpose(stage) for part, stage in zip(self.parts, stages, strict=False)]))

    @property
    def curved(self) -> bool:
        return any(part.curved for part in self.parts)

    def pullback(self, specs: Specs, cotangents: Arrays, primals: Arrays) -> Arrays:
        if not self.curved:
            return super().pullback(specs, cotangents, primals)
        values = [primals]
        for part in self.parts[:-1]:
            values.append(part.apply(values[-1]))
        for part, stage, value in reversed(list(zip(self.parts, self._stages(specs), values, strict=False))):
            cotangents = part.pullback(stage, cotangents, value)
        return cotangents

    def information(self, specs: Specs) -> Information:
        stages = self._stages(specs)
        found = {part.information(stage) for part, stage in zip(self.parts, stages, strict=False)}
        return "lossy" if "lossy" in found else "folded" if "folded" in found else "exact"

    def _stages(self, specs: Specs) -> list[Specs]:
        stages = [specs]
        for part in self.parts:
            stages.append(part.infer(stages[-1]))
        return stages

    def __str__(self) -> str:
        return " | ".join(str(part) for part in self.parts)


def chain(*parts: Transform) -> Transform:
    """Returns the composition, left to right, in its shortest form: no identities, no chains inside, permutations
    merged.

    Example:
      >>> print(chain(Identity(), Permute((1, 2, 0)), chain(Permute((2, 0, 1)), Flip((0,)))))
      flip(0)
    """
    flat: list[Transform] = []
    for part in parts:
        for piece in part.parts if isinstance(part, Chain) else (part,):
            last = flat[-1] if flat else None
            if isinstance(piece, Permute) and isinstance(last, Permute):
                piece = Permute(tuple(last.axes[axis] for axis in piece.axes))
                flat.pop()
            if isinstance(piece, Permute) and piece.axes == tuple(range(len(piece.axes))):
                continue
            if not isinstance(piece, Identity):
                flat.append(piece)
    if len(flat) == 1:
        return flat[0]
    return Chain(tuple(flat)) if flat else Identity()
