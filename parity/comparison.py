"""Two arrays against each other: relative to the tensor's scale, in ulps, with the worst element. Pure numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Literal

import numpy as np

from parity.formats import UNIT_ROUNDOFF, Precision
from parity.record import Arrays
from parity.tolerance import DEAD_SCALE

Kind = Literal["numbers", "structure", "non-finite", "discrete"]

MOST_ULPS = 2.0**62
"""What the distance to a reference of zero counts as."""


@dataclass(frozen=True)
class Comparison:
    """How far one leaf of the candidate is from the reference.

    Attributes:
      name: leaf name, in the reference's terms.
      error: the larger of `‖a−b‖₂/‖b‖₂` and `max|a−b|/max|b|`; inf where the structure, NaN or inf positions differ.
      ulp: largest distance of an element, in units in the last place of the reference's element.
      ulp_quantile: the 0.99 quantile of the same.
      worst: index of the element with the largest absolute difference.
      expected: the reference there.
      got: the candidate there.
      histogram: how many elements are 0, up to 1, up to 2, up to 4, … ulps away; empty where nothing differs.
      top: index, reference and candidate of the elements with the largest absolute difference, worst first.
      dead: the leaf was so small beside its siblings that their scale was used.
      problem: what makes the numbers incomparable, or None.
      kind: what was compared, or what kept it from being compared.
      measure: counts ulps and lists the worst elements, where that has been put off; see `measured`.
    """

    name: str
    error: float
    ulp: float
    ulp_quantile: float
    worst: tuple[int, ...]
    expected: float
    got: float
    histogram: tuple[int, ...] = ()
    top: tuple[tuple[tuple[int, ...], float, float], ...] = ()
    dead: bool = False
    problem: str | None = None
    kind: Kind = "numbers"
    measure: Callable[[Comparison], Comparison] | None = field(default=None, repr=False, compare=False)

    def measured(self) -> Comparison:
        """The comparison with its ulps, their histogram and the worst elements, which cost more than the error."""
        return self if self.measure is None else self.measure(self)

    @property
    def where(self) -> str:
        """The worst element as text, `output[0][1, 2]`."""
        return f"{self.name}[{', '.join(map(str, self.worst))}]" if self.worst else self.name


def compare_all(
    reference: Arrays,
    candidate: Arrays,
    precision: Precision,
    parents: Mapping[str, float] = MappingProxyType({}),
    *,
    measure: bool = True,
) -> tuple[Comparison, ...]:
    """Compares leaves of the same name; a leaf on one side only is a problem of its own.

    Args:
      reference: what is taken as right, by leaf name.
      candidate: what is judged.
      precision: the format whose ulp is counted.
      parents: by leaf name, a scale beside which the leaf may be cancellation noise, if larger than its siblings'.
      measure: count ulps now; without, `measured` of a comparison does so.

    Returns:
      One comparison per leaf name of either side, in the reference's order.
    """
    scale = max((scale_of(array) for array in reference.values()), default=0.0)
    names = [*reference, *(name for name in candidate if name not in reference)]
    scales = {name: max(scale, parents.get(name, 0.0)) for name in names}
    found = (_one(name, reference.get(name), candidate.get(name), scales[name], precision) for name in names)
    return tuple(comparison.measured() if measure else comparison for comparison in found)


def scale_of(array: np.ndarray) -> float:
    """Largest finite magnitude of a floating array; 0 for others."""
    if array.dtype.kind in "biu" or not array.size:
        return 0.0
    magnitude = np.abs(_numbers(array))
    largest = float(magnitude.max())
    return largest if np.isfinite(largest) else float(magnitude.max(where=np.isfinite(magnitude), initial=0.0))


def _one(
    name: str,
    reference: np.ndarray | None,
    candidate: np.ndarray | None,
    siblings: float,
    precision: Precision,
) -> Comparison:
    """One leaf: structure first, then NaN and inf positions, then numbers."""
    if reference is None or candidate is None:
        side = "reference" if reference is None else "candidate"
        return _incomparable(name, f"the {side} has no {name}")
    if reference.shape != candidate.shape:
        return _incomparable(name, f"shape {candidate.shape} where the reference has {reference.shape}")
    if reference.dtype.kind in "biu":
        return _exact(name, reference, candidate)
    expected, got = _numbers(reference), _numbers(candidate)
    with np.errstate(invalid="ignore", over="ignore"):  # of infinities, and of numbers near the largest
        difference = np.abs(got - expected)
    if np.isfinite(difference.max(initial=0.0)):
        return _finite(name, expected, got, difference, siblings, precision)
    if not np.array_equal(np.isnan(expected), np.isnan(got)):
        return _non_finite(name, expected, got, np.isnan(expected) != np.isnan(got), "NaN")
    unlike = np.where(np.isinf(expected) | np.isinf(got), expected != got, False) & ~np.isnan(expected)
    if unlike.any():
        return _non_finite(name, expected, got, unlike, "inf")
    finite = np.isfinite(expected)
    expected, got, difference = (np.where(finite, array, 0) for array in (expected, got, difference))
    return _finite(name, expected, got, difference, siblings, precision)


def _finite(
    name: str,
    expected: np.ndarray,
    got: np.ndarray,
    difference: np.ndarray,
    siblings: float,
    precision: Precision,
) -> Comparison:
    """Relative error of finite arrays; ulps when asked."""
    if not difference.size:
        return Comparison(name, 0.0, 0.0, 0.0, (), 0.0, 0.0)
    magnitude, smallest_normal = np.abs(expected), _smallest_normal(precision)
    if float(difference.max()) * UNIT_ROUNDOFF[precision] < smallest_normal:
        # XLA flushes subnormal numbers to zero and torch keeps them: below the smallest normal number, all are equal.
        difference = np.where(np.maximum(magnitude, np.abs(got)) >= smallest_normal, difference, 0.0)
    at = np.unravel_index(int(difference.argmax()), expected.shape)
    worst = tuple(int(i) for i in at)
    values = float(expected[worst].real), float(got[worst].real)
    if not difference[worst]:
        return Comparison(name, 0.0, 0.0, 0.0, worst, values[0], values[0])
    largest = float(magnitude.max())
    dead = largest < DEAD_SCALE * siblings
    scale = siblings if dead else max(largest, np.finfo(np.float64).tiny)
    with np.errstate(over="ignore"):  # beside a reference of zero
        error = float(difference[worst]) / scale
        if not dead and largest:
            error = max(error, _length(difference / scale) / _length(magnitude / scale))

    measure = partial(_measured, expected, got, difference, precision)
    return Comparison(name, error, 0.0, 0.0, worst, *values, dead=dead, measure=measure)


def _measured(
    expected: np.ndarray, got: np.ndarray, difference: np.ndarray, precision: Precision, comparison: Comparison
) -> Comparison:
    """The comparison with ulps and the worst elements."""
    with np.errstate(over="ignore"):  # of a reference that is zero
        magnitude = np.maximum(np.abs(expected), _smallest_normal(precision))
        spacing = 2 * UNIT_ROUNDOFF[precision] * 2.0 ** np.floor(np.log2(magnitude))
        ulps = np.minimum(difference / spacing, MOST_ULPS)
    quantile = float(np.quantile(ulps, 0.99))
    top = _top(expected, got, difference)
    numbers = {"ulp": float(ulps.max()), "ulp_quantile": quantile, "histogram": _histogram(ulps), "top": top}
    return replace(comparison, **numbers, measure=None)


def _smallest_normal(precision: Precision) -> float:
    """The smallest normal number of float64, or of float32 for it and the shorter formats."""
    return float(np.finfo(np.float64 if precision == "float64" else np.float32).tiny)


def _length(array: np.ndarray) -> float:
    """The Euclidean norm over all elements, without BLAS, which would wake its threads for each leaf."""
    return float(np.sqrt(np.sum(np.square(array))))


def _histogram(ulps: np.ndarray) -> tuple[int, ...]:
    """Counts of elements that are 0, up to 1, up to 2, up to 4, … ulps away."""
    bins = np.where(ulps > 0, np.maximum(np.ceil(np.log2(np.maximum(ulps, 1.0))), 0) + 1, 0)
    return tuple(int(count) for count in np.bincount(bins.ravel().astype(np.int64)))


def _top(
    expected: np.ndarray, got: np.ndarray, difference: np.ndarray, count: int = 5
) -> tuple[tuple[tuple[int, ...], float, float], ...]:
    """The elements that differ most."""
    flat = difference.ravel()
    order = np.argpartition(flat, -min(count, flat.size))[-min(count, flat.size) :]
    order = order[np.argsort(flat[order])[::-1]]
    indices = [tuple(int(i) for i in np.unravel_index(int(at), expected.shape)) for at in order]
    return tuple((index, float(expected[index].real), float(got[index].real)) for index in indices)


def _exact(name: str, expected: np.ndarray, got: np.ndarray) -> Comparison:
    """Integers and booleans are equal or they are not."""
    different = np.argwhere(expected != got)
    if not len(different):
        return Comparison(name, 0.0, 0.0, 0.0, (), 0.0, 0.0)
    worst = tuple(int(i) for i in different[0])
    at = f"at {list(worst)} {got[worst]:g} where the reference has {expected[worst]:g}"
    text = f"{len(different)} of {expected.size} discrete values differ; {at}"
    at_worst = worst, float(expected[worst]), float(got[worst])
    return Comparison(name, np.inf, np.inf, np.inf, *at_worst, problem=text, kind="discrete")


def _non_finite(name: str, expected: np.ndarray, got: np.ndarray, unlike: np.ndarray, kind: str) -> Comparison:
    """NaN or inf on one side where the other has another value."""
    worst = tuple(int(i) for i in np.argwhere(unlike)[0])
    at = f"at {list(worst)} {got[worst]:g} where the reference has {expected[worst]:g}"
    text = f"{kind} positions differ at {int(unlike.sum())} of {expected.size} elements; {at}"
    at_worst = worst, float(expected[worst].real), float(got[worst].real)
    return Comparison(name, np.inf, np.inf, np.inf, *at_worst, problem=text, kind="non-finite")


def _incomparable(name: str, problem: str) -> Comparison:
    return Comparison(name, np.inf, np.inf, np.inf, (), np.nan, np.nan, problem=problem, kind="structure")


def _numbers(array: np.ndarray) -> np.ndarray:
    """Double precision (complex for complex), so that differences are exact enough."""
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64, copy=False)
