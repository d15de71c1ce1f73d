"""The checks on a pair with a fault, as `parity check` runs them, over few examples and without shrinking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import weight_bridge
from parity._errors import ReferenceRefuses, StructureMismatch
from parity.checks import Check, named
from parity.explore import Budget, Case, cases, open_session
from parity.formats import Precision
from parity.harness import conclude
from parity.pair import Pair
from parity.record import Example
from parity.report import Report, Result
from parity.session import Session
from parity.survey import examine
from parity.trial import Trial

SILENT = frozenset({"parity", "rounding"})
"""Verdicts that say nothing; any other is shown in a report."""

Remark = tuple[str, str, str]
"""Precision, check, and a verdict that a report shows although it lets the candidate pass."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
      report: of the first failure; None where everything passed.
      remarks: what was let pass with a word.
    """

    report: Report | None = None
    remarks: frozenset[Remark] = frozenset()


@dataclass(frozen=True)
class Bench:
    """What all faults of one pair share: configurations and examples.

    Attributes:
      pair: the correct pair.
      label: name of the candidate.
      drawn: cases with their examples, ordinary values first.
    """

    pair: Pair
    label: str
    drawn: tuple[tuple[Case, tuple[Example, ...]], ...]

    @classmethod
    def of(cls, pair: Pair, label: str, *, examples: int = 6, configs: int = 2, seed: int = 0) -> Bench:
        """Draws at most `examples` examples from each of a few cases, one per profile first."""
        pool = cases(pair, Budget(examples, configs, seed))
        return cls(pair, label, tuple((case, _examples(case, examples, seed)) for case in pool))

    @property
    def ordinary(self) -> tuple[Case, Example]:
        """What one feeds without thinking."""
        case, examples = self.drawn[0]
        return case, examples[0]

    def session(self) -> Session:
        """The correct pair on ordinary input.

        Raises:
          StructureMismatch: both sides refuse it.
        """
        case, example = self.ordinary
        session = open_session(self.pair, self.label, case, example)
        if session is None:
            raise StructureMismatch(f"both sides of {self.pair.name} refuse {case.config!r}")
        return session

    def judge(self, pair: Pair, precision: Precision, first: Sequence[str] = ()) -> Verdict:
        """What the gate says about this bench's pair, or about one with a fault.

        Args:
          pair: what to run.
          precision: of both sides.
          first: checks that are likely to fail; the others run if they do not.

        Returns:
          The report of the first example on which a check fails, or the remarks on what was let pass.
        """
        checks = named(tuple(name for name in pair.checks if name not in pair.exempt))
        likely = tuple(check for check in checks if check.name in first)
        remarks: frozenset[Remark] = frozenset()
        for some in (likely, tuple(check for check in checks if check not in likely)):
            verdict = self._judged(pair, precision, some) if some else Verdict()
            if verdict.report is not None:
                return verdict
            remarks |= verdict.remarks
        return Verdict(None, remarks)

    def _judged(self, pair: Pair, precision: Precision, checks: tuple[Check, ...]) -> Verdict:
        remarks: set[Remark] = set()
        for case, examples in self.drawn:
            try:
                session = open_session(pair, self.label, case, examples[0])
            except StructureMismatch as mismatch:
                return Verdict(Report(pair.name, "cpu", precision, (Result.broken("forward", str(mismatch)),)))
            except weight_bridge.WeightBridgeError as refusal:
                return Verdict(Report(pair.name, "cpu", precision, (Result.broken("carry", str(refusal)),)))
            for example in examples if session is not None else ():
                assert session is not None
                report = _examined(Trial(session, example, precision), checks, pair, first=example is examples[0])
                if report is not None and not report.ok:
                    return Verdict(report)
                found = report.results if report is not None else ()
                remarks |= {(precision, r.check, r.verdict) for r in found if r.verdict not in SILENT}
        return Verdict(None, frozenset(remarks))


def _examined(trial: Trial, checks: tuple[Check, ...], pair: Pair, *, first: bool) -> Report | None:
    """The report of one example; None where the reference refuses it."""
    try:
        found = examine(trial, [check for check in checks if first or not check.once], pair.overrides)
    except ReferenceRefuses:
        return None
    return conclude(trial, Report(pair.name, "cpu", trial.precision, found.results))


def _examples(case: Case, count: int, seed: int) -> tuple[Example, ...]:
    """Every profile once, then again with other numbers."""
    profiles = list(dict.fromkeys(name for given in case.inputs for name in given.profiles)) or ["normal"]
    profiles.sort(key=lambda name: name != "normal")
    return tuple(case.example(profiles[i % len(profiles)], seed + i) for i in range(max(count, len(profiles))))
