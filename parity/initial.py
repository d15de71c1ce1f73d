"""Initial values of both sides as samples of a distribution: does the candidate draw like the reference?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from parity.record import Arrays

FEW = 8
"""Fewer elements say nothing about a spread."""


@dataclass(frozen=True)
class Deviation:
    """One leaf's initial values against the reference's.

    Attributes:
      name: path and statistic.
      sigmas: how many standard deviations apart.
      expected: the reference's statistic.
      got: the candidate's.
    """

    name: str
    sigmas: float
    expected: float
    got: float


def deviations(reference: list[Arrays], candidate: Arrays) -> Iterator[Deviation]:
    """Mean and spread of every leaf, and the spread of all leaves together.

    A leaf that the reference always sets to the same values must have them. Spreads are compared by the cube root of
    the variance's ratio, which is close to normal far into the tails; a distribution with less weight in its tails than
    the normal one gives a sharper comparison, by its measured kurtosis.

    Args:
      reference: fresh weights of several builds, by the candidate's paths.
      candidate: fresh weights of one build.

    Yields:
      One or two deviations per leaf; a last one for all spreads.

    References:
      Wilson, Hilferty, *The distribution of chi-square* (1931).
    """
    spreads: list[float] = []
    for path, given in candidate.items():
        drawn = np.stack([np.asarray(build[path], np.float64) for build in reference])
        got = np.asarray(given, np.float64)
        if not got.size:
            continue
        if np.ptp(drawn, axis=0).max() == 0:
            yield _constant(path, drawn[0], got)
            continue
        size = 1 / got.size + 1 / drawn.size
        sigmas = (got.mean() - drawn.mean()) / (drawn.std() * np.sqrt(size))
        yield Deviation(f"mean of initial {path}", abs(float(sigmas)), float(drawn.mean()), float(got.mean()))
        if got.size >= FEW:
            spreads.append(_spread(drawn, got))
            yield Deviation(f"spread of initial {path}", abs(spreads[-1]), float(drawn.std()), float(got.std()))
    if spreads:
        together = float(np.sum(spreads) / np.sqrt(len(spreads)))
        yield Deviation("spread of all initial values", abs(together), 0.0, together)


def _constant(path: str, expected: np.ndarray, got: np.ndarray) -> Deviation:
    """A leaf without randomness is equal, to the digits of float32."""
    worst = int(np.argmax(np.abs(got - expected)))
    same = np.allclose(got, expected, rtol=1e-6, atol=1e-7 * max(float(np.abs(expected).max()), 1e-30))
    values = float(expected.flat[worst]), float(got.flat[worst])
    return Deviation(f"initial {path}", 0.0 if same else np.inf, *values)


def _spread(drawn: np.ndarray, got: np.ndarray) -> float:
    """Standard deviations between two spreads, signed."""
    centred = drawn - drawn.mean()
    kurtosis = float(np.mean(centred**4) / np.mean(centred**2) ** 2)
    freedom = 2 / (max(kurtosis - 1, 0.2) * (1 / got.size + 1 / drawn.size))
    ratio = (got.var(ddof=1) / drawn.var()) ** (1 / 3)
    return float((ratio - (1 - 2 / (9 * freedom))) / np.sqrt(2 / (9 * freedom)))
