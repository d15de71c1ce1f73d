"""What a check is: a name, what it sees, and how it judges a trial."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from parity._errors import StructureMismatch
from parity.comparison import Comparison, compare_all, scale_of
from parity.judgement import Finding, Judgement, Note, Verdict, compared, overflowing
from parity.pair import Mode
from parity.record import Arrays
from parity.tolerance import STABLE, VACUOUS, Bound, Override, bound
from parity.trial import Trial
from parity.verdicts import Select, explained

Run = Callable[[Trial, tuple[Override, ...]], Iterable[Finding]]

ORDINARY = frozenset({"normal", "given", "small"})
"""Profiles of inputs like those that models are used on."""


@dataclass(frozen=True)
class Check:
    """One property of a pair.

    Attributes:
      name: as in reports and on the command line.
      sees: the faults that this property shows and others do not, in a phrase.
      run: judges one trial; yields nothing where the property does not apply.
      needs_plan: cannot run when weights are not carried over.
      once: judges the first example of a configuration only, because it compiles more or runs longer.
    """

    name: str
    sees: str
    run: Run
    needs_plan: bool = False
    once: bool = False


def on_record(name: str, select: Select, *, sees: str, needs_plan: bool = False, needs_gradients: bool = True) -> Check:
    """A check that compares one kind of array of the two records, in every mode."""

    def run(trial: Trial, overrides: tuple[Override, ...]) -> Iterator[Finding]:
        for mode in trial.session.modes:
            gradients = needs_gradients or _has_gradients(trial, mode)
            found = list(judged(trial, name, mode, select, overrides, gradients=gradients))
            yield from found
            yield from _vacuous(name, mode, select(trial.oracle(mode)))
            if not all(judgement.bound.telling(trial.precision) for judgement in found):
                yield Note(
                    f"loose: in {trial.precision} the reference itself loses over half of the digits in {name}, "
                    f"{mode} mode; only float64 tells a mistake from rounding there"
                )

    return Check(name, sees, run, needs_plan)


def _has_gradients(trial: Trial, mode: Mode) -> bool:
    """Whether the candidate can be differentiated; if so, the run that does it has the outputs too."""
    try:
        trial.candidate(mode)
    except StructureMismatch:
        return False
    return True


def judged(
    trial: Trial,
    check: str,
    mode: Mode,
    select: Select,
    overrides: tuple[Override, ...] = (),
    *,
    gradients: bool = True,
    parents: Mapping[str, float] = MappingProxyType({}),
) -> Iterator[Judgement]:
    """Compares one kind of array of the two records.

    In float64 the reference is the truth. Below, the truth is the reference's float64 run on the same rounded numbers,
    and the reference's own distance to it is the yardstick: that of the leaf, or the root mean square over its siblings
    where that is larger.

    Args:
      trial: both sides of one example.
      check: name of the check, which decides the bound.
      mode: `eval` or `train`.
      select: which arrays of a record.
      overrides: of the pair.
      gradients: whether `select` needs them; without, less is run and compiled.
      parents: see `parity.comparison.compare_all`.

    Yields:
      A judgement per leaf.
    """
    if gradients:
        own, wide, got = (select(side(mode)) for side in (trial.reference, trial.oracle, trial.candidate))
    else:
        own, got = select(trial.forward_reference(mode)), select(trial.forward_candidate(mode))
        wide = own if trial.precision == "float64" else select(trial.oracle(mode))
    truth = overflowing(wide, own)

    def explain(comparison: Comparison, limit: Bound) -> Verdict:
        return explained(trial, mode, select, comparison, limit)

    for judgement in compared(
        *(check, mode, truth, got, trial.precision),
        bounds(trial, check, truth, own, overrides),
        explain,
        parents,
    ):
        yield _let_pass_if_stable(trial, judgement)


def bounds(
    trial: Trial, check: str, truth: Arrays, own: Arrays, overrides: tuple[Override, ...]
) -> Callable[[str], Bound]:
    """Leaf name → bound, from the reference's own distance to the truth at this precision."""
    errors: dict[str, float] = {}
    if trial.precision != "float64":
        errors = {c.name: c.error for c in compare_all(truth, own, trial.precision)}
    finite = [error for error in errors.values() if np.isfinite(error)]
    siblings = float(np.sqrt(np.mean(np.square(finite)))) if finite else 0.0

    def bound_of(name: str) -> Bound:
        error = errors.get(name, np.inf)
        yardstick = max(error, siblings) if np.isfinite(error) else siblings
        return bound(check, trial.precision, reference_error=yardstick, overrides=overrides, name=name)

    return bound_of


def _let_pass_if_stable(trial: Trial, judgement: Judgement) -> Judgement:
    """A right formula that loses digits passes, unless it loses most of them on ordinary inputs."""
    if judgement.verdict != "stability":
        return judgement
    ordinary = trial.example.profile in ORDINARY
    return replace(judgement, ok=not (ordinary and judgement.comparison.error > STABLE))


def _vacuous(check: str, mode: Mode, arrays: Arrays) -> Iterator[Note]:
    """Leaves that any candidate would match: constant outputs, gradients that are zero."""
    floating = {name: array for name, array in arrays.items() if array.dtype.kind == "f" and array.size}
    scales = {name: scale_of(array) for name, array in floating.items()}
    largest = max(scales.values(), default=0.0)
    for name, array in floating.items():
        size = float(np.ptp(array)) if check == "forward" and array.size > 1 else scales[name]
        if check != "buffers" and size <= VACUOUS * largest:
            what = "is constant" if check == "forward" else "is zero"
            yield Note(f"vacuous: {check} {what} in every example, {mode} mode", always=True, at=name)
