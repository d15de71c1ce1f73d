"""One leaf judged: how far it is, how far it may be, and what that means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from parity.comparison import Comparison, compare_all
from parity.formats import Precision
from parity.pair import Mode
from parity.record import Arrays
from parity.tolerance import Bound

Verdict = Literal[
    "parity",
    "rounding",
    "precision mode",
    "stability",
    "semantic boundary",
    "ambiguous tie",
    "ill-conditioned",
    "statistical",
    "structure",
    "bug",
]
"""What a comparison means, in words.

`parity`, `rounding`: within the bound, in float64 and below it. `precision mode`: as far off as a float32 conversion
that was found explains. `stability`: right in float64, and less accurate than the reference below. `semantic boundary`,
`ambiguous tie`: only at exact kinks, or where equal keys are ordered. `ill-conditioned`: the reference itself moves as
far under a few roundings. `statistical`: drawn numbers of another distribution. `structure`: other names, shapes or
kinds. `bug`: none of these.
"""

TOLERATED = frozenset({"parity", "rounding", "precision mode", "semantic boundary", "ambiguous tie", "ill-conditioned"})
"""Verdicts that are shown and do not fail."""


@dataclass(frozen=True)
class Judgement:
    """A comparison against its bound.

    Attributes:
      check: name of the check.
      mode: `eval` or `train`.
      comparison: candidate against the truth.
      bound: what is accepted.
      verdict: what the comparison means.
      ok: whether it lets the candidate pass.
    """

    check: str
    mode: Mode
    comparison: Comparison
    bound: Bound
    verdict: Verdict
    ok: bool

    @property
    def severity(self) -> float:
        """Error in multiples of the bound."""
        return self.comparison.error / self.bound.limit if self.bound.limit else float(self.comparison.error > 0)

    @property
    def needed_override(self) -> bool:
        """Whether an override made the difference."""
        return self.ok and self.bound.override is not None and self.comparison.error > self.bound.policy


@dataclass(frozen=True)
class Note:
    """A remark of a check that is no judgement.

    Attributes:
      text: one line for the report.
      always: worth saying only if every example says so.
      at: the leaf that it is about, if any; the report tells in one line where the same holds.
    """

    text: str
    always: bool = False
    at: str = ""


def told(notes: Iterable[Note]) -> tuple[str, ...]:
    """Notes as lines, those of one text in one.

    Example:
      >>> told([Note("is zero", at=name) for name in "abcde"])
      ('is zero: a, b, c and 2 more',)
    """
    places: dict[str, dict[str, None]] = {}
    for note in notes:
        places.setdefault(note.text, {}).update({note.at: None} if note.at else {})
    return tuple(f"{text}: {_listed(list(at))}" if at else text for text, at in places.items())


def _listed(names: list[str], shown: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


Finding = Judgement | Note


def settled(
    check: str,
    mode: Mode,
    comparison: Comparison,
    bound: Bound,
    precision: Precision,
    explain: Callable[[], Verdict],
    *,
    tolerated: frozenset[str] = TOLERATED,
) -> Judgement:
    """A judgement; what lies outside the bound is explained.

    Args:
      check: name of the check.
      mode: `eval` or `train`.
      comparison: candidate against the truth.
      bound: what is accepted.
      precision: of the run.
      explain: says what an error beyond the bound means; called only for one, since that may take more runs.
      tolerated: verdicts that let the candidate pass.
    """
    if comparison.problem is None and comparison.error <= bound.limit:
        return Judgement(check, mode, comparison, bound, "parity" if precision == "float64" else "rounding", True)
    verdict = explain()
    return Judgement(check, mode, comparison, bound, verdict, verdict in tolerated)


def compared(
    check: str,
    mode: Mode,
    truth: Arrays,
    got: Arrays,
    precision: Precision,
    bound_of: Callable[[str], Bound],
    explain: Callable[[Comparison, Bound], Verdict],
    parents: Mapping[str, float] = MappingProxyType({}),
) -> Iterator[Judgement]:
    """Judges every leaf of two sets of arrays; see `settled` and `compare_all`."""
    for comparison in compare_all(truth, got, precision, parents, measure=False):
        limit = bound_of(comparison.name)
        yield settled(check, mode, comparison, limit, precision, lambda c=comparison, b=limit: explain(c, b))


def overflowing(truth: Arrays, own: Arrays) -> dict[str, np.ndarray]:
    """The truth, with the reference's own infinities and NaNs where its format cannot hold what float64 can."""
    return {
        name: np.where(np.isfinite(own[name].astype(value.dtype)), value, own[name].astype(value.dtype))
        if name in own and value.dtype.kind == "f" and own[name].shape == value.shape
        else value
        for name, value in truth.items()
    }
