"""What a check is: a name, what it sees, and how it judges a trial."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from parity.judgement import Judgement, judge
from parity.record import Arrays, Record
from parity.session import Trial
from parity.tolerance import Override

Run = Callable[[Trial, tuple[Override, ...]], Iterable[Judgement]]


@dataclass(frozen=True)
class Check:
    """One property of a pair.

    Attributes:
      name: as in reports and on the command line.
      sees: the faults that this property shows and others do not, in a phrase.
      run: judges one trial; yields nothing where the property does not apply.
      needs_plan: cannot run when weights are not carried over.
    """

    name: str
    sees: str
    run: Run
    needs_plan: bool = False


def on_record(name: str, select: Callable[[Record], Arrays], *, sees: str, needs_plan: bool = False) -> Check:
    """A check that compares one kind of array of the two records, in every mode."""

    def run(trial: Trial, overrides: tuple[Override, ...]) -> Iterable[Judgement]:
        return judge(trial, name, select, overrides=overrides)

    return Check(name, sees, run, needs_plan)
