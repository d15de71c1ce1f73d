"""One leaf judged: how far it is, how far it may be, and what that means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from parity.comparison import Comparison, compare_all
from parity.pair import Mode
from parity.record import Arrays, Record
from parity.session import Trial
from parity.tolerance import Bound, Override, bound

Verdict = Literal["parity", "bug", "rounding", "precision mode", "structure"]


@dataclass(frozen=True)
class Judgement:
    """A comparison against its bound.

    Attributes:
      check: name of the check.
      mode: `eval` or `train`.
      comparison: candidate against the truth.
      bound: what is accepted.
    """

    check: str
    mode: Mode
    comparison: Comparison
    bound: Bound

    @property
    def ok(self) -> bool:
        """Whether the candidate is within the bound; NaN and structural problems never are."""
        return self.comparison.problem is None and self.comparison.error <= self.bound.limit

    @property
    def severity(self) -> float:
        """Error in multiples of the bound."""
        return self.comparison.error / self.bound.limit if self.bound.limit else float(self.comparison.error > 0)


def judge(
    trial: Trial,
    check: str,
    select: Callable[[Record], Arrays],
    *,
    modes: tuple[Mode, ...] | None = None,
    overrides: tuple[Override, ...] = (),
) -> Iterator[Judgement]:
    """Compares one kind of quantity in every mode.

    In float64 the reference is the truth. Below, the truth is the reference's float64 run on the same rounded numbers,
    and the reference's own distance to it is the yardstick: that of the leaf, or the root mean square over its siblings
    where that is larger.

    Args:
      trial: both sides of one example.
      check: name of the check, which decides the bound.
      select: which arrays of a record.
      modes: modes to judge; the session's by default.
      overrides: of the pair.

    Yields:
      A judgement per leaf and mode.
    """
    for mode in modes or trial.session.modes:
        truth = select(trial.oracle(mode))
        yardstick = _yardstick(trial, truth, mode, select)
        for comparison in compare_all(truth, select(trial.candidate(mode)), trial.precision):
            limit = bound(
                check,
                trial.precision,
                reference_error=yardstick(comparison.name),
                overrides=overrides,
                name=comparison.name,
            )
            yield Judgement(check, mode, comparison, limit)


def _yardstick(trial: Trial, truth: Arrays, mode: Mode, select: Callable[[Record], Arrays]) -> Callable[[str], float]:
    """Leaf name → the reference's own error at this precision."""
    if trial.precision == "float64":
        return lambda name: 0.0
    own = {c.name: c.error for c in compare_all(truth, select(trial.reference(mode)), trial.precision)}
    finite = [error for error in own.values() if np.isfinite(error)]
    siblings = float(np.sqrt(np.mean(np.square(finite)))) if finite else 0.0
    return lambda name: max(own[name], siblings) if np.isfinite(own.get(name, np.inf)) else siblings
