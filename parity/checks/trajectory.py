"""Training agrees, step by step: parameters, what the optimizer remembers, and buffers.

Two runs from the same weights part exponentially where training is chaotic, however right the candidate is. So the
bound at every step is measured: how far the reference has parted from a second run of itself that began one rounding
away. The optimizers are also run alone, on the reference's recorded gradients, which tells a wrong optimizer from a
wrong gradient. An error beyond the bound is held against two more of the reference's trainings: on gradients in a
shorter format, where a side converts to one, and with a rounding more at every operation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from parity.checks.base import Check
from parity.comparison import Comparison, compare_all, scale_of
from parity.formats import UNIT_ROUNDOFF
from parity.judgement import Finding, Judgement, Note, Verdict, settled
from parity.optimizers import DEFAULT_OPTIMIZERS
from parity.pair import Mode
from parity.record import Arrays
from parity.tolerance import BLOWN_UP, FLOAT64_DEFAULT, GROWTH, ILL_CONDITIONED, Bound, Override
from parity.training import Moment, Run
from parity.trial import REFUSALS, Trial
from parity.verdicts import conversions


def run(trial: Trial, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """Trains both sides with each of the pair's optimizers, in the last mode that the pair declares."""
    pair, mode = trial.session.pair, trial.session.modes[-1]
    if trial.precision != "float64":
        yield Note(f"trajectory: only judged in float64, not in {trial.precision}")
        return
    if not trial.reference(mode).param_grads:
        return
    for optimizers in pair.optimizers if pair is not None else DEFAULT_OPTIMIZERS:
        training = Run.of(trial, mode, optimizers)
        moved = replace(training, trial=trial.moved(2 * UNIT_ROUNDOFF["float64"], off_zero=False))
        refusal = _refusal(training) or _refusal(moved)
        if refusal is not None:
            yield Note(f"trajectory: the reference refuses what {optimizers.name} makes of it: {refusal}")
            continue
        yield from _until_wrong(_alone(training, overrides))
        together = list(_until_wrong(_together(training, moved, overrides)))
        yield from together
        yield from _loose(together)


def _loose(judgements: list[Judgement]) -> Iterator[Note]:
    """Says of which leaves agreement says little."""
    loose = [judgement for judgement in judgements if not judgement.bound.telling("float64")]
    if loose:
        leaves = {judgement.comparison.name.partition(" (")[0] for judgement in loose}
        others = f", and {len(leaves) - 1} more" if len(leaves) > 1 else ""
        yield Note(
            f"loose: a rounding moves {loose[0].comparison.name} by {loose[0].bound.reference_error:.0e} in the "
            f"reference's own training, so that agreement says little of it{others}"
        )


def _refusal(training: Run) -> Exception | None:
    """What the reference raises in its own training, as where weights that grow leave the range of a loss."""
    try:
        training.reference  # noqa: B018  (runs it, once)
    except REFUSALS as refusal:
        return refusal
    return None


def _alone(training: Run, overrides: tuple[Override, ...]) -> Iterator[list[Judgement]]:
    """Both optimizers on the reference's gradients, carried over by the plan where a leaf has one source."""
    for index, (expected, observed) in enumerate(training.alone()):
        label, slack = f"{training.optimizers.name} alone, step {index + 1}", training.slack(index)
        yield [
            _judged(training.mode, found, FLOAT64_DEFAULT + slack[found.name], "same gradients", label, overrides)
            for found in compare_all(expected, observed, "float64")
        ]


def _together(training: Run, moved: Run, overrides: tuple[Override, ...]) -> Iterator[list[Judgement]]:
    """Both sides, each on its own gradients, for as long as the reference's training has not blown up."""
    size = max(map(scale_of, training.start.parameters.values()), default=0.0)
    excuses = functools.cache(lambda: [excuse for excuse in _excuses(training) if not _refusal(excuse[0])])
    for index, got in enumerate(training.candidate()):
        if not all(_sound(value, size) for value in training.reference[0][index].parameters.values()):
            return
        label, excused = f"{training.optimizers.name}, step {index + 1}", functools.partial(_excused, training, excuses)
        yield [
            _judged(
                *(training.mode, found.comparison, FLOAT64_DEFAULT + GROWTH * found.parted + found.slack),
                f"the reference parts from itself by {found.parted:.1e} when moved by one rounding",
                *(label, overrides, functools.partial(excused, got, index, place), found.parted),
            )
            for place, found in enumerate(_distances(training, moved, got, index))
        ]


def _excused(
    training: Run, excuses: Callable[[], list[tuple[Run, Verdict]]], got: Moment, index: int, place: int
) -> Verdict:
    """What the first excuse says that accounts for the error at a place among the distances after a step."""
    for other, said in excuses():
        found = list(_distances(training, other, got, index))[place]
        if found.comparison.error <= ILL_CONDITIONED * found.parted:
            return said
    return "bug"


def _excuses(training: Run) -> Iterator[tuple[Run, Verdict]]:
    """Trainings of the reference that may part from it as far as the candidate does, and what that says.

    On gradients in a shorter format, where a side converts to one; with a rounding more at every operation.
    """
    formats = conversions(training.trial, training.mode)
    if formats:
        yield replace(training, precision=max(formats, key=UNIT_ROUNDOFF.__getitem__)), "precision mode"
    yield replace(training, roundings=0), "ill-conditioned"


def _sound(value: np.ndarray, size: float) -> bool:
    """Whether a parameter is finite and not beyond all the sizes that the model began with."""
    return bool(np.isfinite(value).all()) and scale_of(value) <= BLOWN_UP * size


@dataclass(frozen=True)
class _Distance:
    """How far the candidate's leaf is from the reference's, and the reference's from itself.

    Attributes:
      comparison: of both sides.
      parted: relative distance of the reference's other run: of this leaf, or the median of its kind if that is more.
      slack: what rounding alone may make of a leaf that is read off as a difference.
    """

    comparison: Comparison
    parted: float
    slack: float


def _distances(training: Run, other: Run, got: Moment, index: int) -> Iterator[_Distance]:
    """Updates, buffers and the optimizer's memory after a step, beside another run of the reference."""
    held = [name for name in training.reference[0][index].memory if name in got.memory]
    slack = training.slack(index)
    kinds = (_observed(run, run.reference[0][index], held) for run in (training, other))
    for truth, near, mine in zip(*kinds, _observed(training, got, held), strict=True):
        growth = {c.name: c.error for c in compare_all(truth, near, "float64") if np.isfinite(c.error)}
        siblings = float(np.median(list(growth.values()))) if growth else 0.0
        for comparison in compare_all(truth, mine, "float64"):
            parted = max(growth.get(comparison.name, 0.0), siblings)
            yield _Distance(comparison, parted, slack.get(comparison.name, 0.0))


def _observed(run: Run, now: Moment, held: list[str]) -> tuple[Arrays, Arrays, Arrays]:
    """Updates since the start, buffers, and what both optimizers remember."""
    updates = run.updates({path: now.parameters[path] for path in sorted(now.parameters)})
    return updates, now.buffers, {name: now.memory[name] for name in held}


def _judged(
    mode: Mode,
    comparison: Comparison,
    limit: float,
    why: str,
    label: str,
    overrides: tuple[Override, ...],
    verdict: Callable[[], Verdict] = lambda: "bug",
    parted: float = 0.0,
) -> Judgement:
    bound = Bound(limit, why, parted).loosened("trajectory", comparison.name, "float64", overrides)
    named = replace(comparison, name=f"{comparison.name} ({label})")
    return settled("trajectory", mode, named, bound, "float64", verdict)


def _until_wrong(steps: Iterator[list[Judgement]]) -> Iterator[Judgement]:
    """All judgements up to the first step with a wrong one."""
    for judgements in steps:
        yield from judgements
        if not all(judgement.ok for judgement in judgements):
            return


TRAJECTORY = Check(
    "trajectory",
    "merged biases, optimizer settings, decay and clipping, frozen parameters, constant gradient factors",
    run,
    needs_plan=True,
    once=True,
)
