"""Checks applied to one trial, and their findings gathered over many."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from parity._errors import ParityError, ReferenceRefuses, StructureMismatch
from parity.checks import Check, named
from parity.checks.randomness import unshared
from parity.explore import Case
from parity.fitting import Fit
from parity.formats import Precision
from parity.judgement import Finding, Judgement, Note, told
from parity.pair import Mode, Pair
from parity.refusals import unmatched
from parity.report import Report, Result
from parity.tolerance import ENOUGH_EXAMPLES, Override
from parity.trial import Trial
from parity.worst import Worst


@dataclass(frozen=True)
class Examination:
    """What checks found on one trial.

    Attributes:
      worst: of each check that ran.
      notes: remarks, and a line for each check that could not run.
      needed: overrides without which the trial had failed.
    """

    worst: tuple[Worst, ...]
    notes: tuple[Note, ...] = ()
    needed: tuple[Override, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(worst.ok for worst in self.worst)

    @property
    def results(self) -> tuple[Result, ...]:
        """What a report shows of every check."""
        return tuple(worst.result() for worst in self.worst)


def examine(trial: Trial, checks: Sequence[Check], overrides: tuple[Override, ...]) -> Examination:
    """Runs checks on one trial.

    Raises:
      ReferenceRefuses: the reference raises on this example.
    """
    able = [c for c in checks if trial.session.plan is not None or not c.needs_plan]
    notes = [Note(f"{c.name} needs carried weights, and carry is None: not run") for c in checks if c not in able]
    worst: list[Worst] = []
    needed: list[Override] = []
    for check in able:
        judgements, remarks, problem = _found(check, trial, overrides)
        worst.append(Worst.of(check.name, judgements) if problem is None else Worst.broken(check.name, problem))
        notes += [*remarks, *_formats(trial, judgements), *_draws(trial, judgements)]
        needed += [j.bound.override for j in judgements if j.bound.override is not None and j.needed_override]
    return Examination(tuple(worst), tuple(notes), tuple(dict.fromkeys(needed)))


def _formats(trial: Trial, judgements: Sequence[Judgement]) -> Iterator[Note]:
    """Where a narrower format was found that a judgement let pass."""
    for mode in _modes(trial, (j for j in judgements if j.ok and j.verdict == "precision mode")):
        sides = zip(("reference", "candidate"), trial.audits(mode), strict=True)
        for side, narrowings in ((side, audit.narrowings) for side, audit in sides if audit.narrowings):
            first = min(narrowings, key=lambda found: (not found.where, found.operation != "conversion"))
            more = f", and at {len(narrowings) - 1} more places" if narrowings[1:] else ""
            yield Note(
                f"precision mode: the {side} leaves the float64 run, {first}{more}; the check `dtypes` fails that"
            )


def _modes(trial: Trial, judgements: Iterable[Judgement]) -> list[Mode]:
    """Modes of some judgements, in the order in which they run."""
    judged = {judgement.mode for judgement in judgements}
    return [mode for mode in trial.session.modes if mode in judged]


def _draws(trial: Trial, judgements: Sequence[Judgement]) -> Iterator[Note]:
    """What of a failure may come of draws whose numbers the sides cannot share."""
    for mode in _modes(trial, (j for j in judgements if not j.ok)):
        drawn = trial.reference(mode).draws
        for problem in unshared(drawn, trial.session.candidate.requests_of(mode == "train", drawn))[:1]:
            yield Note(f"randomness, {mode} mode: {problem}: what follows from these numbers differs in any case")


def _found(
    check: Check, trial: Trial, overrides: tuple[Override, ...]
) -> tuple[list[Judgement], list[Note], str | None]:
    """Judgements, remarks, and what kept the check from finishing."""
    found: list[Finding] = []
    problem = None
    try:
        found.extend(check.run(trial, overrides))
    except StructureMismatch as mismatch:
        problem = str(mismatch)
    except ReferenceRefuses as refusal:
        _require_taken(trial)
        found.append(Note(f"{check.name}: not finished: the reference refuses what it makes of the example: {refusal}"))
    return [f for f in found if isinstance(f, Judgement)], [f for f in found if isinstance(f, Note)], problem


def _require_taken(trial: Trial) -> None:
    """Tells an example that is refused from one that a check made of it, as a second call on other inputs.

    Raises:
      ReferenceRefuses: the reference raises on this example.
    """
    for mode in trial.session.modes:
        trial.reference(mode)
        trial.oracle(mode)


class Survey:
    """Collects the worst result of every check over all visited trials."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        named(tuple(pair.exempt))
        self._checks = named(tuple(name for name in pair.checks if name not in pair.exempt))
        self._worst: dict[str, Worst] = {}
        self._visits: Counter[str] = Counter()
        self._said: defaultdict[Note, Counter[str]] = defaultdict(Counter)
        self._first: dict[str, tuple[str, int]] = {}
        self._needed: set[Override] = set()
        self._refused: list[str] = []
        self._fit = Fit()

    def visit(self, case: Case, trial: Trial) -> None:
        """Judges one trial; raises at the first failure.

        Checks that judge one example per configuration take the first of each; seeing the same one again, as when a
        failure is replayed, they judge it again.
        """
        key = trial.example.profile, trial.example.seed
        first = self._first.setdefault(case.key, key) == key
        try:
            found = examine(trial, [c for c in self._checks if first or not c.once], self._pair.overrides)
        except ReferenceRefuses as refusal:
            problem = unmatched(trial)
            if problem is not None:
                raise Stop(case, trial, Examination((Worst.broken("forward", problem),))) from refusal
            self._refused.append(str(refusal))
            if first:
                del self._first[case.key]  # the next example takes its place
            return
        self._fit.see(trial)
        if not found.ok:
            raise Stop(case, trial, found)
        self._visits[case.key] += 1
        self._needed.update(found.needed)
        for note in dict.fromkeys(found.notes):
            self._said[note][case.key] += 1
        for worst in found.worst:
            before = self._worst.get(worst.check)
            self._worst[worst.check] = worst if before is None else worst.merged(before)

    def require_layout(self) -> None:
        """Refuses a layout that applied to nothing in all visited trials; the candidate would be blamed for it.

        Raises:
          UsageError: with what there is for it to apply to.
        """
        self._fit.require_applied()

    def report(self, precision: Precision) -> Report:
        """The worst of everything, when nothing failed."""
        results = [self._worst[check.name].result() for check in self._checks if check.name in self._worst]
        if not results:
            why = f"the reference refuses every example: {self._refused[0]}" if self._refused else "no example was run"
            results = [Result.broken("forward", why)]
        return Report(
            *(self._pair.name, "", precision, (*results, *self._unneeded(precision))),
            examples=self._visits.total(),
            configs=len(self._visits),
            notes=tuple(self._notes()),
        )

    def _notes(self) -> list[str]:
        """Overrides in force, checks without anything to judge, remarks, refused examples."""
        notes = [str(override) for override in self._pair.overrides]
        notes += [f"{name} not claimed: {why}" for name, why in self._pair.exempt.items() if name in self._pair.checks]
        notes += told(note for note, cases in self._said.items() if not note.always or self._always(cases))
        if self._refused:
            notes.append(f"the reference refused {len(self._refused)} further examples: {self._refused[0]}")
        return list(dict.fromkeys(notes))

    def _always(self, cases: Counter[str]) -> bool:
        """Whether a remark was made on every example of the configurations that it was made on."""
        return all(count == self._visits[case] for case, count in cases.items())

    def _unneeded(self, precision: Precision) -> list[Result]:
        """A failure for each override that nothing needed, once enough was run to tell."""
        if self._visits.total() < ENOUGH_EXAMPLES:
            return []
        asked = [o for o in self._pair.overrides if o.precision in (None, precision) and o.check in self._worst]
        return [
            replace(Result.broken(o.check, f"{o}: no example needs it any more; remove it"), verdict="expired override")
            for o in asked
            if o not in self._needed
        ]


class Stop(ParityError):
    """A failing trial.

    Attributes:
      case: its configuration.
      trial: itself.
      found: what the checks found.
    """

    def __init__(self, case: Case, trial: Trial, found: Examination) -> None:
        super().__init__(str(case))
        self.case, self.trial, self.found = case, trial, found
