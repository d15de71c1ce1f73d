"""What became of every fault, and the sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from parity.faults.fault import Fault
from parity.faults.gate import Remark
from parity.report import Report


@dataclass(frozen=True)
class Outcome:
    """One fault in one pair.

    Attributes:
      fault: its id.
      group: its family.
      pair: name of the pair.
      where: path of the edited module.
      accepted: common practice lets it pass.
      caught: the first check that failed; empty where none did.
      precision: in which it did.
      verdict: empty for a failure; a remark, such as `semantic boundary`, where the report shows it and passes.
      blamed: path of the module that the report names; None where it names none.
      located: it is the edited one.
      cause: first cause of the report; empty where there is none.
      named: it is a right one.
      equivalent: nothing that can be observed differs, so there is nothing to catch.
      seconds: spent on it.
    """

    fault: str
    group: str
    pair: str
    where: str
    accepted: bool
    caught: str = ""
    precision: str = ""
    verdict: str = ""
    blamed: str | None = None
    located: bool = False
    cause: str = ""
    named: bool = False
    equivalent: bool = False
    seconds: float = 0.0

    @classmethod
    def of(cls, fault: Fault, pair: str, where: str, accepted: bool) -> Outcome:
        """Nothing caught it, so far."""
        return cls(fault.id, fault.group, pair, where, accepted)

    def failed(self, fault: Fault, report: Report) -> Outcome:
        """A check failed."""
        first = next(result for result in report.results if not result.ok)
        if first.check == "carry":  # the refusal itself says where and what
            said = all(part in first.detail for part in self.where.split("/") if part)
            found = replace(self, caught="carry", precision=report.precision, cause="carry", named=said)
            return replace(found, blamed=self.where if said else None, located=said)
        blamed = report.divergence.candidate if report.divergence is not None else None
        cause = report.causes[0].id if report.causes else ""
        found = replace(self, caught=first.check, precision=report.precision, blamed=blamed, cause=cause)
        return replace(found, located=blamed == self.where, named=cause in fault.names)

    def remarked(self, fault: Fault, remark: Remark) -> Outcome:
        """No check failed, and the report shows that something is different; the verdict is the cause."""
        precision, check, verdict = remark
        found = replace(self, caught=check, precision=precision, verdict=verdict, cause=verdict)
        return replace(found, named=verdict in fault.names)


@dataclass(frozen=True)
class Score:
    """All outcomes, and what stood beside them.

    Attributes:
      outcomes: one per fault and pair.
      accused: checks that failed on correct pairs, `pair: check`; there should be none.
    """

    outcomes: tuple[Outcome, ...]
    accused: tuple[str, ...] = ()

    @property
    def live(self) -> tuple[Outcome, ...]:
        """Those that change something."""
        return tuple(outcome for outcome in self.outcomes if not outcome.equivalent)

    @property
    def survivors(self) -> tuple[Outcome, ...]:
        """Those that change something and were not caught."""
        return tuple(outcome for outcome in self.live if not outcome.caught)

    @property
    def ok(self) -> bool:
        """Everything was caught, and nothing correct was accused."""
        return not self.survivors and not self.accused

    def groups(self) -> dict[str, Tally]:
        """Sums per family, in order of appearance."""
        names = dict.fromkeys(outcome.group for outcome in self.live)
        return {name: Tally.of([o for o in self.live if o.group == name]) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """The score as plain data."""
        return {
            "ok": self.ok,
            "total": asdict(Tally.of(self.live)),
            "groups": {name: asdict(tally) for name, tally in self.groups().items()},
            "survivors": [f"{o.fault} in {o.pair}" for o in self.survivors],
            "equivalent": [f"{o.fault} in {o.pair}" for o in self.outcomes if o.equivalent],
            "accused": list(self.accused),
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
        }


@dataclass(frozen=True)
class Tally:
    """How many faults, and how many of them were caught by common practice and by the checks, located, and named."""

    faults: int
    practice: int
    caught: int
    located: int
    named: int

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Tally:
        """Counts."""
        return cls(
            len(outcomes),
            _count(not o.accepted for o in outcomes),
            _count(bool(o.caught) for o in outcomes),
            _count(o.located for o in outcomes),
            _count(o.named for o in outcomes),
        )


def _count(flags: Iterable[bool]) -> int:
    return sum(flags)
