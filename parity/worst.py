"""The worst leaf of a check, before it is measured for a report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from parity.judgement import Judgement
from parity.report import Result


@dataclass(frozen=True)
class Worst:
    """The worst of some judgements of one check.

    Attributes:
      check: name of the check.
      ok: every leaf was within its bound.
      leaves: how many leaves were judged.
      judgement: the worst one; None where there was nothing to judge.
      problem: what kept the check from finishing, or None.
    """

    check: str
    ok: bool = True
    leaves: int = 0
    judgement: Judgement | None = None
    problem: str | None = None

    @classmethod
    def of(cls, check: str, judgements: Iterable[Judgement]) -> Worst:
        """The worst of some judgements; passing trivially where there are none."""
        found = list(judgements)
        if not found:
            return cls(check)
        return cls(check, all(judgement.ok for judgement in found), len(found), max(found, key=_severity))

    @classmethod
    def broken(cls, check: str, problem: str) -> Worst:
        """Of a check that could not finish."""
        return cls(check, ok=False, leaves=1, problem=problem)

    def merged(self, other: Worst) -> Worst:
        """The worse of two of the same check."""
        first, second = (self, other) if self._severity >= other._severity else (other, self)
        return replace(first, ok=first.ok and second.ok, leaves=first.leaves + second.leaves)

    def result(self) -> Result:
        """What a report shows of it: with ulps and the worst elements."""
        if self.problem is not None:
            return Result.broken(self.check, self.problem)
        return Result.of(self.check, self.judgement, ok=self.ok, leaves=self.leaves)

    @property
    def _severity(self) -> tuple[bool, float]:
        return _severity(self.judgement) if self.judgement is not None else (not self.ok, 0.0)


def _severity(judgement: Judgement) -> tuple[bool, float]:
    """What fails is worse than what passes, whatever the multiple of its bound."""
    return not judgement.ok, judgement.severity
