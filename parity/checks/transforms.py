"""The candidate computes the same operation by operation, compiled, vectorised, in a loop, and over several devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from parity.checks.base import Check, bounds
from parity.checks.buffers import buffers
from parity.checks.forward import outputs
from parity.checks.gradients import input_grads, param_grads
from parity.comparison import Comparison, compare_all
from parity.formats import is_floating
from parity.judgement import Finding, Note, Verdict, settled
from parity.pair import Mode
from parity.record import Record
from parity.tolerance import ILL_CONDITIONED, Override
from parity.trial import Trial
from parity.verdicts import Select, explained_by_format, sensitivity


def run(trial: Trial, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """Judges every transformation against the compiled candidate, in every mode."""
    from parity.backends.jax_transforms import Transformed

    for mode in trial.session.modes:
        other = trial.fed(tuple(x * 0.5 if is_floating(x) else x for x in trial.inputs))
        other.found["reference", mode] = trial.raw_reference(mode)  # the same cotangents and draws
        expected = [trial.raw_candidate(mode), other.raw_candidate(mode)]
        transformed = Transformed(
            *(trial.session.candidate, trial.session.carried(trial.state)),
            [trial.session.laid_out(given.inputs) for given in (trial, other)],
            precision=trial.precision,
            train=mode == "train",
            cotangents=trial.weights(mode),
            seed=trial.example.seed,
            draws=trial.reference(mode).draws,
        )
        second = _after(trial, other, mode)
        tried = partial(_tried, trial, mode, overrides)
        yield from tried("operation by operation", transformed.eager, expected[:1])
        yield from tried("vectorised", transformed.vectorised, expected)
        yield from tried("in a loop", transformed.scanned, [expected[0], second])
        yield from tried("over all devices", transformed.sharded, expected[:1])


def _tried(
    trial: Trial,
    mode: Mode,
    overrides: tuple[Override, ...],
    label: str,
    run: Callable[[], list[Record]],
    truths: list[Record],
) -> Iterator[Finding]:
    """One transformation, or a note that the candidate has no rule for it."""
    try:
        found = run()
    except Exception as refusal:  # libraries have exceptions of their own, as Flax does
        yield Note(f"transforms: the candidate does not run {label}: {type(refusal).__name__}: {_line(refusal)}")
        return
    for got, truth in zip(found, truths, strict=False):
        yield from _judged(trial, mode, overrides, label, truth, got)


def _line(refusal: Exception) -> str:
    return (str(refusal).splitlines() or [""])[0]


def _after(trial: Trial, other: Trial, mode: Mode) -> Record:
    """The second inputs from the buffers that the first leave behind."""
    leaves = {**trial.session.carried(trial.state), **trial.raw_candidate(mode).buffers}
    return replace(other, leaves=leaves, found={("reference", mode): trial.raw_reference(mode)}).raw_candidate(mode)


def _judged(
    trial: Trial, mode: Mode, overrides: tuple[Override, ...], label: str, truth: Record, got: Record
) -> Iterator[Finding]:
    """Everything that the transformed record holds."""
    expected, found = (trial.session.read_back(record, trial.state) for record in (truth, got))
    for select in (outputs, input_grads, param_grads, buffers):
        if not select(found):
            continue
        limits = bounds(trial, "transforms", select(trial.oracle(mode)), select(trial.reference(mode)), overrides)
        for comparison in compare_all(select(expected), select(found), trial.precision):
            explain = partial(_explained, trial, mode, select, comparison)
            named = replace(comparison, name=f"{comparison.name}, {label}")
            yield settled("transforms", mode, named, limits(comparison.name), trial.precision, explain)


def _explained(trial: Trial, mode: Mode, select: Select, comparison: Comparison) -> Verdict:
    """Another order of the same operations may round otherwise, and no more than that."""
    if comparison.kind != "numbers":
        return "bug"
    if explained_by_format(trial, mode, comparison.error):
        return "precision mode"
    parted = sensitivity(trial, mode, select, comparison.name)
    return "ill-conditioned" if comparison.error <= ILL_CONDITIONED * parted else "bug"


TRANSFORMS = Check(
    "transforms",
    "branches and state that are fixed when traced, rules for batching, collective operations",
    run,
    once=True,
)
