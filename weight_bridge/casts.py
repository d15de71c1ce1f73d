"""What rounding to a smaller dtype cost, counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from weight_bridge._dtypes import kind
from weight_bridge.spec import Array


@dataclass(frozen=True)
class CastLoss:
    """Elements that a cast could not keep, beyond rounding.

    Args:
      path: the leaf.
      dtypes: from, to.
      overflowed: finite elements that became infinite or NaN.
      underflowed: elements other than zero that became zero.
      size: elements of the leaf.
    """

    path: str
    dtypes: tuple[str, str]
    overflowed: int
    underflowed: int
    size: int

    def __str__(self) -> str:
        lost = [f"{self.overflowed} overflowed"] if self.overflowed else []
        lost += [f"{self.underflowed} underflowed to zero"] if self.underflowed else []
        return f"{self.path}: {self.dtypes[0]} to {self.dtypes[1]}: {' and '.join(lost)}, of {self.size} elements"


def cast_loss(path: str, before: Array, after: Array) -> CastLoss | None:
    """Returns what a cast lost, or None where it only rounded.

    Args:
      path: the leaf.
      before: elements in their first dtype, in any order.
      after: the same elements in their second.

    Example:
      >>> print(cast_loss("a/kernel", np.array([1e6, 1e-9, 2.0]), np.array([1e6, 1e-9, 2.0], np.float32)))
      None
      >>> print(cast_loss("a/kernel", np.array([1e6, 1e-9]), np.array([np.inf, 0.0], np.float16)))
      a/kernel: float64 to float16: 1 overflowed and 1 underflowed to zero, of 2 elements
    """
    if before.dtype == after.dtype or kind(after.dtype.name) != "float":
        return None
    overflowed = int(np.isfinite(before).sum()) - int(np.isfinite(after).sum())
    underflowed = int((after == 0).sum()) - int((before == 0).sum())
    if not (overflowed or underflowed):
        return None
    return CastLoss(path, (before.dtype.name, after.dtype.name), overflowed, underflowed, before.size)


def summed(losses: Iterable[CastLoss | None], size: int) -> list[CastLoss]:
    """Returns the losses of the parts of one leaf of `size` elements as one loss, if there is any."""
    found = [loss for loss in losses if loss is not None]
    overflowed, underflowed = sum(loss.overflowed for loss in found), sum(loss.underflowed for loss in found)
    return [CastLoss(loss.path, loss.dtypes, overflowed, underflowed, size) for loss in found[:1]]
