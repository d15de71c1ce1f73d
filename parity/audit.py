"""What a run computes in fewer digits than it was asked for, operation by operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from parity.formats import UNIT_ROUNDOFF, Precision

FAMILIES = ("exponential", "logarithm", "root")
"""Operations whose precision decides whether a softmax, a loss or a normalisation is computed well."""


@dataclass(frozen=True, order=True)
class Narrowing:
    """A place where digits are lost.

    Attributes:
      format: the narrower format, `float32`.
      operation: what produces it.
      where: file, line and function of the model that asked for it.
    """

    format: str
    operation: str
    where: str

    def __str__(self) -> str:
        return f"{self.operation} in {self.format} at {self.where}"


@dataclass(frozen=True)
class Audit:
    """What one side's run was computed in.

    Attributes:
      narrowings: places that use a format with fewer digits than the run's, each once.
      families: by name of `FAMILIES`, the formats in which its operations ran.
      widening: by name of `FAMILIES`, the modules that ran it in a format with more digits than the run's; of the
        reference alone.
      grouped: it has convolutions in groups; of the candidate alone.
    """

    narrowings: tuple[Narrowing, ...]
    families: dict[str, frozenset[str]]
    widening: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    grouped: bool = False

    @property
    def coarsest(self) -> str | None:
        """The format of fewest digits among the narrowings."""
        return max((n.format for n in self.narrowings), key=UNIT_ROUNDOFF.__getitem__, default=None)


def narrower(dtype: str, precision: Precision) -> bool:
    """Whether a floating format has fewer digits than the run's."""
    return dtype in UNIT_ROUNDOFF and UNIT_ROUNDOFF[dtype] > UNIT_ROUNDOFF[precision]


def wider(dtype: str, precision: Precision) -> bool:
    """Whether a floating format has more digits than the run's."""
    return dtype in UNIT_ROUNDOFF and UNIT_ROUNDOFF[dtype] < UNIT_ROUNDOFF[precision]


def coarse(values: np.ndarray) -> bool:
    """Whether values of a constant may have been rounded: some are no small multiples of 1/256.

    Zeros, ones, halves and indices are exact in any format, and a constant of those has lost nothing.

    Example:
      >>> coarse(np.float32([0.0, 0.5, 12.0])), coarse(np.float32([0.1]))
      (False, True)
    """
    wide = np.asarray(values, np.float64)
    finite = wide[np.isfinite(wide)]
    return bool(np.any(finite * 256 != np.round(finite * 256)))
