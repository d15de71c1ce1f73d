"""Training agrees, step by step: parameters, what the optimizer remembers, and buffers.

Two runs from the same weights part exponentially where training is chaotic, however right the candidate is. So the
bound at every step is measured: how far the reference has parted from a second run of itself that began one rounding
away. The optimizers are also run alone, on the reference's recorded gradients, which tells a wrong optimizer from a
wrong gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from parity.checks.base import Check
from parity.comparison import Comparison, compare_all, scale_of
from parity.formats import UNIT_ROUNDOFF
from parity.judgement import Finding, Judgement, Note, settled
from parity.optimizers import DEFAULT_OPTIMIZERS
from parity.pair import Mode
from parity.record import Arrays
from parity.tolerance import BLOWN_UP, FLOAT64_DEFAULT, GROWTH, Bound, Override
from parity.training import Moment, Run, rounded
from parity.trial import REFUSALS, Trial


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
        yield from _until_wrong(_together(training, moved, overrides))


def _refusal(training: Run) -> Exception | None:
    """What the reference raises in its own training, as where weights that grow leave the range of a loss."""
    try:
        training.reference  # noqa: B018  (runs it, once)
    except REFUSALS as refusal:
        return refusal
    return None


def _alone(training: Run, overrides: tuple[Override, ...]) -> Iterator[list[Judgement]]:
    """Both optimizers on the reference's gradients, carried over by the plan where a leaf has one source."""
    for index, (before, wanted, got) in enumerate(training.alone()):
        found = compare_all(
            {path: wanted[path] - start for path, start in before.items()},
            {path: got[path] - start for path, start in before.items()},
            "float64",
        )
        label = f"{training.optimizers.name} alone, step {index + 1}"
        yield [
            _judged(training.mode, c, limit, "same gradients", label, overrides)
            for c in found
            for limit in [FLOAT64_DEFAULT + rounded(before[c.name], got[c.name], index + 1)]
        ]


def _together(training: Run, moved: Run, overrides: tuple[Override, ...]) -> Iterator[list[Judgement]]:
    """Both sides, each on its own gradients, for as long as the reference's training has not blown up."""
    moments, _ = training.reference
    others, _ = moved.reference
    starts = [training.moment(training.trial.state, {}), training.moment(moved.trial.state, {})]
    candidate = training.candidate()
    size = max(map(scale_of, starts[0].parameters.values()), default=0.0)
    for index, (moment, other, got) in enumerate(zip(moments, others, candidate, strict=True)):
        if not all(_sound(value, size) for value in moment.parameters.values()):
            return
        label = f"{training.optimizers.name}, step {index + 1}"
        yield [
            judgement
            for truth, near, mine, slack in _quantities(moment, other, got, starts, index + 1)
            for judgement in _against_growth(training.mode, truth, near, mine, slack, label, overrides)
        ]


def _sound(value: np.ndarray, size: float) -> bool:
    """Whether a parameter is finite and not beyond all the sizes that the model began with."""
    return bool(np.isfinite(value).all()) and scale_of(value) <= BLOWN_UP * size


def _quantities(
    moment: Moment, other: Moment, got: Moment, starts: list[Moment], steps: int
) -> Iterator[tuple[Arrays, Arrays, Arrays, Mapping[str, float]]]:
    """Updates, buffers and the optimizer's memory: of the reference, of its other run, and of the candidate.

    With them comes how far rounding alone may part them, where they are read off as differences.
    """

    def update(now: Moment, start: Moment) -> Arrays:
        return {path: now.parameters[path] - start.parameters[path] for path in sorted(now.parameters)}

    before = starts[0].parameters
    slack = {path: rounded(before[path], value, steps) for path, value in moment.parameters.items()}
    yield update(moment, starts[0]), update(other, starts[1]), update(got, starts[0]), slack
    yield moment.buffers, other.buffers, got.buffers, {}
    both = [name for name in moment.memory if name in got.memory]
    memories = [{name: side.memory[name] for name in both} for side in (moment, other, got)]
    yield memories[0], memories[1], memories[2], {}


def _against_growth(
    mode: Mode,
    truth: Arrays,
    near: Arrays,
    got: Arrays,
    slack: Mapping[str, float],
    label: str,
    overrides: tuple[Override, ...],
) -> Iterator[Judgement]:
    """Judges the candidate's distance by how far the reference's other run is."""
    growth = {c.name: c.error for c in compare_all(truth, near, "float64") if np.isfinite(c.error)}
    siblings = float(np.sqrt(np.mean(np.square(list(growth.values()))))) if growth else 0.0
    for comparison in compare_all(truth, got, "float64"):
        parted = max(growth.get(comparison.name, 0.0), siblings)
        why = f"the reference parts from itself by {parted:.1e} when moved by one rounding"
        limit = FLOAT64_DEFAULT + GROWTH * parted + slack.get(comparison.name, 0.0)
        yield _judged(mode, comparison, limit, why, label, overrides)


def _judged(
    mode: Mode, comparison: Comparison, limit: float, why: str, label: str, overrides: tuple[Override, ...]
) -> Judgement:
    bound = Bound(limit, why).loosened("trajectory", comparison.name, "float64", overrides)
    named = replace(comparison, name=f"{comparison.name} ({label})")
    return settled("trajectory", mode, named, bound, "float64", lambda: "bug")


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
