"""Weights that torch computes from other tensors in each call; their derivative depends on where it is taken.

Weight normalisation: w = g v/‖v‖, the norm over all axes but the one that g has. Spectral normalisation: w = o/σ with
σ = uᵀ O r, where O is o with axis `axis` in front and the others flattened, and u, r are the stored singular vectors.
References: https://arxiv.org/abs/1602.07868, https://arxiv.org/abs/1802.05957
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from weight_bridge._errors import MisfitError
from weight_bridge.spec import Array, Spec
from weight_bridge.transforms import Arrays, Information, Specs, Transform, single


@dataclass(frozen=True)
class Curved(Transform):
    """A transform that is not linear: it has a `pullback` at given values and no transpose."""

    @property
    def curved(self) -> bool:
        return True

    def transpose(self, specs: Specs) -> Transform:
        raise MisfitError(f"{self} is not linear: a gradient goes back only at given values")

    def information(self, specs: Specs) -> Information:
        return "folded"


@dataclass(frozen=True)
class WeightNorm(Curved):
    """(g, v) → g v/‖v‖."""

    def infer(self, specs: Specs) -> Specs:
        if len(specs) != 2 or not _broadcasts(specs[0].shape, specs[1].shape) or specs[0].dtype != specs[1].dtype:
            raise MisfitError(f"{self} takes a length and a direction, got {', '.join(map(str, specs)) or 'none'}")
        return specs[1:]

    def apply(self, arrays: Arrays) -> Arrays:
        length, direction = map(_wide, arrays)
        return ((direction * (length / _norm(direction, length))).astype(arrays[1].dtype, copy=False),)

    def inverse(self, specs: Specs) -> Transform:
        return LengthAndDirection(specs[0].shape)

    def pullback(self, specs: Specs, cotangents: Arrays, primals: Arrays) -> Arrays:
        (weight,), (length, direction) = cotangents, primals
        norm = _norm(direction, length)
        unit = direction / norm
        along = np.sum(weight * unit, axis=_axes(length), keepdims=True).reshape(length.shape)
        return along, (weight - unit * along) * (length / norm)


@dataclass(frozen=True)
class LengthAndDirection(Curved):
    """w → (‖w‖, w), a length and a direction whose weight is w."""

    shape: tuple[int, ...]

    def infer(self, specs: Specs) -> Specs:
        spec = single(specs, self)
        if not _broadcasts(self.shape, spec.shape):
            raise MisfitError(f"{self} does not measure {spec}")
        return Spec(self.shape, spec.dtype), spec

    def apply(self, arrays: Arrays) -> Arrays:
        length = _norm(_wide(arrays[0]), np.empty(self.shape))
        return length.astype(arrays[0].dtype, copy=False), arrays[0]

    def inverse(self, specs: Specs) -> Transform:
        return WeightNorm()

    def pullback(self, specs: Specs, cotangents: Arrays, primals: Arrays) -> Arrays:
        length, direction = cotangents
        return (direction + length * primals[0] / _norm(primals[0], length),)


@dataclass(frozen=True)
class SpectralNorm(Curved):
    """(o, u, r) → o/(uᵀ O r), as torch computes it in evaluation."""

    axis: int

    def infer(self, specs: Specs) -> Specs:
        rows = specs[0].shape[self.axis] if specs and self.axis < len(specs[0].shape) else 0
        fits = rows and [spec.shape for spec in specs[1:]] == [(rows,), (specs[0].size // rows,)]
        if not fits:
            raise MisfitError(
                f"{self} takes a weight and two singular vectors, got {', '.join(map(str, specs)) or 'none'}"
            )
        return specs[:1]

    def apply(self, arrays: Arrays) -> Arrays:
        weight, left, right = map(_wide, arrays)
        return ((weight / (left @ (_matrix(weight, self.axis) @ right))).astype(arrays[0].dtype, copy=False),)

    def inverse(self, specs: Specs) -> Transform:
        return SingularVectors(self.axis)

    def pullback(self, specs: Specs, cotangents: Arrays, primals: Arrays) -> Arrays:
        (gradient,), (weight, left, right) = cotangents, primals
        matrix = _matrix(weight, self.axis)
        scale = left @ (matrix @ right)
        slope = -np.sum(gradient * weight) / scale**2
        through = _tensor(np.outer(left, right), weight.shape, self.axis)
        return gradient / scale + slope * through, slope * (matrix @ right), slope * (matrix.T @ left)


@dataclass(frozen=True)
class SingularVectors(Curved):
    """w → (w, u, r) with uᵀ W r = 1, so that torch's evaluation gives w back: the first singular pair, r over σ."""

    axis: int

    def infer(self, specs: Specs) -> Specs:
        spec = single(specs, self)
        rows = spec.shape[self.axis]
        return spec, Spec((rows,), spec.dtype), Spec((spec.size // rows,), spec.dtype)

    def apply(self, arrays: Arrays) -> Arrays:
        (weight,) = arrays
        left, scales, right = np.linalg.svd(_matrix(weight, self.axis).astype(np.float64), full_matrices=False)
        if not scales[0]:
            raise MisfitError("a weight of zeros has no singular vectors to divide it by")
        return weight, left[:, 0].astype(weight.dtype), (right[0] / scales[0]).astype(weight.dtype)

    def inverse(self, specs: Specs) -> Transform:
        return SpectralNorm(self.axis)


def _broadcasts(length: tuple[int, ...], direction: tuple[int, ...]) -> bool:
    """Whether a length has one number, or one for each place along one axis."""
    if not length:
        return True
    long = [(ours, theirs) for ours, theirs in zip(length, direction, strict=False) if ours != 1]
    return len(length) == len(direction) and len(long) <= 1 and all(ours == theirs for ours, theirs in long)


def _wide(array: Array) -> Array:
    """An array in at least 32 bits, for sums."""
    return array.astype(np.result_type(array.dtype, np.float32), copy=False)


def _axes(length: Array) -> tuple[int, ...] | None:
    """The axes that a norm runs over: those along which the length has one number."""
    return tuple(axis for axis, size in enumerate(length.shape) if size == 1) if length.ndim else None


def _norm(direction: Array, length: Array) -> Array:
    squares = cast(Array, np.sum(direction * direction, axis=_axes(length), keepdims=True))
    return np.sqrt(squares).reshape(length.shape)


def _matrix(weight: Array, axis: int) -> Array:
    return np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)


def _tensor(matrix: Array, shape: tuple[int, ...], axis: int) -> Array:
    """Undoes `_matrix`."""
    rest = (*shape[:axis], *shape[axis + 1 :])
    return np.moveaxis(matrix.reshape(shape[axis], *rest), 0, axis)
