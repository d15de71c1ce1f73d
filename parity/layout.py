"""Axis orders: how an array of the reference is laid out on the candidate's side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from parity._errors import UsageError

CHANNELS_LAST: Mapping[str, str] = MappingProxyType({"1d": "NCL->NLC", "2d": "NCHW->NHWC", "3d": "NCDHW->NDHWC"})
"""The usual layout of a candidate, by the end of the name of torch's convolution."""


@dataclass(frozen=True)
class Layout:
    """One axis order against another, such as `NCHW->NHWC`.

    Attributes:
      text: reference axes, `->`, candidate axes; a letter per axis, each once on both sides.

    Example:
      >>> Layout("NCHW->NHWC").to_candidate(np.zeros((2, 3, 5, 7))).shape
      (2, 5, 7, 3)
    """

    text: str

    def __post_init__(self) -> None:
        sides = self.text.split("->")
        if len(sides) != 2 or len(set(sides[0])) != len(sides[0]) or sorted(sides[0]) != sorted(sides[1]):
            raise UsageError(
                f"layout {self.text!r}: expected the reference's axes, '->', and the same axes in the candidate's "
                "order, one letter each, for example 'NCHW->NHWC'"
            )

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.text.split("->")[0])

    @property
    def axes(self) -> tuple[int, ...]:
        """The permutation that `numpy.transpose` takes from reference to candidate order."""
        reference, candidate = self.text.split("->")
        return tuple(reference.index(axis) for axis in candidate)

    def to_candidate(self, array: np.ndarray) -> np.ndarray:
        """The array in the candidate's axis order."""
        return array.transpose(self.axes)

    def to_reference(self, array: np.ndarray) -> np.ndarray:
        """The array in the reference's axis order."""
        return array.transpose(np.argsort(self.axes))


@dataclass(frozen=True)
class Layouts:
    """Which inputs and outputs change their axis order between the sides.

    Attributes:
      everywhere: applied to every input and output of its rank, or None.
      named: by leaf name (`input[0]`, `output`, `output.mean`), stronger than `everywhere`.
    """

    everywhere: Layout | None = None
    named: Mapping[str, Layout] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, layout: str | Mapping[str, str] | Layouts | None) -> Layouts:
        """Reads the `layout` argument: one text for all, a mapping from leaf names to texts, or None."""
        if isinstance(layout, Layouts):
            return layout
        if layout is None or isinstance(layout, str):
            return cls(everywhere=Layout(layout) if layout else None)
        return cls(named=MappingProxyType({name: Layout(text) for name, text in layout.items()}))

    def to_candidate(self, name: str, array: np.ndarray) -> np.ndarray:
        """The leaf called `name` in the candidate's order."""
        layout = self._find(name, array)
        return layout.to_candidate(array) if layout else array

    def to_reference(self, name: str, array: np.ndarray) -> np.ndarray:
        """The leaf called `name` in the reference's order."""
        layout = self._find(name, array)
        return layout.to_reference(array) if layout else array

    def axes(self, name: str, array: np.ndarray) -> tuple[int, ...]:
        """The permutation from the reference's axes to the candidate's of the leaf called `name`."""
        layout = self._find(name, array)
        return layout.axes if layout else tuple(range(array.ndim))

    def _find(self, name: str, array: np.ndarray) -> Layout | None:
        named = self.named.get(name)
        if named is not None and named.rank != array.ndim:
            raise UsageError(
                f"layout {named.text!r} for {name}: it has {named.rank} axes, the array has shape {array.shape}"
            )
        if named is None and self.everywhere is not None and self.everywhere.rank == array.ndim:
            return self.everywhere
        return named


def usual(reference: Any, layouts: Layouts) -> str | None:
    """The layout of a candidate with channels last; None where one is said, or no torch convolution speaks for it."""
    if layouts.everywhere is not None or layouts.named:
        return None
    kinds = (kind.__name__ for module in reference.modules() for kind in type(module).__mro__)
    ranks = (name[-2:] for name in kinds if name.startswith("Conv"))
    return next((CHANNELS_LAST[rank] for rank in ranks if rank in CHANNELS_LAST), None)


def forgotten(reference: Any, layouts: Layouts) -> str:
    """What to try where a candidate refuses inputs as they are; empty where nothing speaks for it."""
    text = usual(reference, layouts)
    return f"; if the candidate has channels last, say layout={text!r}" if text else ""
