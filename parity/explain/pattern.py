"""What an error looks like, for when no cause explains it: where it sits and how it grows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.record import Arrays
from parity.tolerance import MODULE_BOUND, SAME_VALUES

ERROR_SHARE = 0.99
"""Share of the squared error that must lie somewhere before the error is said to be there."""


def describe(expected: Arrays, observed: Arrays) -> str:
    """The most telling thing about an error.

    Args:
      expected: of the reference, by leaf name.
      observed: of the candidate.

    Returns:
      One phrase, such as `0.5 x the reference` or `only at the border of axes 2, 3`.

    Example:
      >>> describe({"y": np.arange(4.0)}, {"y": 2 * np.arange(4.0)})
      'y: 2 x the reference'
    """
    for name, value in expected.items():
        other = observed.get(name)
        if other is None:
            return f"{name}: missing"
        if other.shape != value.shape:
            return f"{name}: shape {other.shape} in place of {value.shape}"
        if value.dtype.kind not in "fc" or not value.size:
            continue
        found = next(_patterns(value, other), None)
        if found is not None:
            return f"{name}: {found}"
    return "no difference"


def factor(expected: Arrays, observed: Arrays) -> float | None:
    """The number that the reference has to be multiplied by to give the candidate; None where there is none."""
    pairs = [(v, observed[n]) for n, v in expected.items() if n in observed and observed[n].shape == v.shape]
    flat = [(np.ravel(a), np.ravel(b)) for a, b in pairs if a.dtype.kind == "f" and b.dtype.kind == "f" and a.size]
    if not flat or len(pairs) < len(expected):
        return None
    a, b = (np.concatenate(parts) for parts in zip(*flat, strict=True))
    if not (np.isfinite(a).all() and np.isfinite(b).all()) or not np.any(a):
        return None
    ratio = float(a @ b / (a @ a))
    same = np.linalg.norm(b - ratio * a) <= SAME_VALUES * np.linalg.norm(a)
    return ratio if same and abs(ratio - 1) > SAME_VALUES else None


def added(a: np.ndarray, b: np.ndarray) -> float | None:
    """The number that has to be added to every element of one array to give another; None where there is none."""
    if a.shape != b.shape or not a.size or {a.dtype.kind, b.dtype.kind} != {"f"}:
        return None
    offset = b - a
    if not np.isfinite(offset).all() or float(np.abs(offset).max()) <= MODULE_BOUND * float(np.abs(a).max()):
        return None
    return float(offset.ravel()[0]) if np.ptp(offset) <= SAME_VALUES * float(np.abs(offset).max()) else None


def _patterns(a: np.ndarray, b: np.ndarray) -> Iterator[str]:
    """What is true of an error, the most telling first."""
    finite = np.isfinite(a) & np.isfinite(b)
    alike = (np.isnan(a) & np.isnan(b)) | (a == b)
    odd = ~finite & ~alike
    if odd.any():
        yield f"NaN or inf at {int(odd.sum())} of {odd.size} elements, first at {_index(odd)}"
    a, b = np.where(finite, a, 0), np.where(finite, b, 0)
    error = np.abs(b - a)
    if error.max() <= MODULE_BOUND * max(float(np.abs(a).max()), np.finfo(np.float64).tiny):
        return
    ratio = factor({"": a}, {"": b})
    if ratio is not None:
        yield "zero" if ratio == 0 else f"{ratio:.6g} x the reference"
    if a.size > 1 and np.allclose(np.sort(a.ravel()), np.sort(b.ravel()), rtol=SAME_VALUES, atol=0):
        yield f"the same values in another order{_permuted(a, b)}"
    offset = b - a
    if a.size > 1 and np.ptp(np.real(offset)) <= SAME_VALUES * float(np.abs(offset).max()):
        yield f"the reference plus {float(offset.ravel()[0].real):.6g}"
    yield from _placed(a, b, error)
    count = int((error > MODULE_BOUND * float(np.abs(a).max() or 1)).sum())
    size = float(error.max() / (np.abs(a).max() or 1))
    yield f"{count} of {error.size} elements differ, by up to {size:.1e} of the largest"


def _placed(a: np.ndarray, b: np.ndarray, error: np.ndarray) -> Iterator[str]:
    """Where along the axes an error lies."""
    power = error**2
    whole = float(power.sum())
    spatial = [axis for axis in range(2, a.ndim) if a.shape[axis] > 4]
    if spatial:
        inner = power[tuple(slice(1, -1) if axis in spatial else slice(None) for axis in range(a.ndim))]
        if float(inner.sum()) <= (1 - ERROR_SHARE) * whole:
            yield f"only at the border of axes {', '.join(map(str, spatial))}"
    for axis in range(a.ndim):
        if a.shape[axis] < 2:
            continue
        along = power.sum(tuple(i for i in range(a.ndim) if i != axis))
        large = np.flatnonzero(along > (1 - ERROR_SHARE) * whole / a.shape[axis])
        if 0 < len(large) <= max(1, a.shape[axis] // 4):
            yield f"only at {', '.join(map(str, large[:4]))}{' …' if len(large) > 4 else ''} along axis {axis}"
        ratios = [factor({"": np.take(a, i, axis)}, {"": np.take(b, i, axis)}) for i in range(a.shape[axis])]
        if all(ratio is not None for ratio in ratios):
            shown = ", ".join(f"{ratio:.4g}" for ratio in ratios[:4])
            yield f"a factor for every index of axis {axis}: {shown}{' …' if len(ratios) > 4 else ''}"
        if a.shape[axis] > 3 and along[0] <= MODULE_BOUND * whole and np.all(np.diff(along) >= -0.2 * along.max()):
            yield f"zero at the beginning of axis {axis}, growing along it"
        elif a.shape[axis] > 4 and along[-1] > 10 * max(float(along[0]), 0.0) and _rising(along):
            yield f"growing along axis {axis}"
    zeros = a == 0
    if zeros.any() and float(power[~zeros].sum()) <= (1 - ERROR_SHARE) * whole:
        yield "only where the reference is exactly 0: ties or kinks"


def _rising(along: np.ndarray) -> bool:
    return bool(np.corrcoef(np.arange(len(along)), along)[0, 1] > 0.8)


def _permuted(a: np.ndarray, b: np.ndarray) -> str:
    """Which axes were exchanged, where two are."""

    def same(c: np.ndarray) -> bool:
        return c.shape == b.shape and bool(np.allclose(c, b, rtol=SAME_VALUES))

    for i in range(a.ndim):
        if same(np.flip(a, i)):
            return f": axis {i} reversed"
        for j in range(i + 1, a.ndim):
            if same(np.swapaxes(a, i, j)) or (a.shape[i] * a.shape[j] and same(np.swapaxes(a, i, j).reshape(a.shape))):
                return f": axes {i} and {j} exchanged"
    return ""


def _index(mask: np.ndarray) -> list[int]:
    return [int(i) for i in np.argwhere(mask)[0]]
