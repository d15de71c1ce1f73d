"""More than one call: with other weights, the same once more, from the state left behind, and declared sequences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from parity.checks.base import Check, bounds, judged
from parity.checks.buffers import CALLS, buffers
from parity.checks.forward import outputs
from parity.comparison import compare_all
from parity.judgement import Finding, settled
from parity.pair import Mode
from parity.tolerance import Override
from parity.trial import Trial


def run(trial: Trial, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """Judges the calls in every mode, and the pair's sequence in its first."""
    for mode in trial.session.modes:
        yield from judged(trial.elsewhere(), "loop", mode, outputs, overrides)
        yield from _repeated(trial, mode, overrides)
        if trial.raw_reference(mode).buffers or trial.raw_candidate(mode).buffers:
            for call in trial.successive(mode, CALLS)[1:]:
                yield from judged(call, "loop", mode, outputs, overrides)
    for call in _sequence(trial, trial.session.modes[0]):
        yield from judged(call, "loop", trial.session.modes[0], outputs, overrides)
        yield from judged(call, "loop", trial.session.modes[0], buffers, overrides)


def _repeated(trial: Trial, mode: Mode, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """The first call once more, after others: a candidate that remembers gives itself away."""
    first = trial.candidate(mode).outputs
    again = trial.session.read_back(trial.run_candidate(mode), trial.state).outputs
    limits = bounds(trial, "loop", trial.oracle(mode).outputs, trial.reference(mode).outputs, overrides)
    for comparison in compare_all(first, again, trial.precision):
        named = replace(comparison, name=f"{comparison.name}, called again")
        yield settled("loop", mode, named, limits(comparison.name), trial.precision, lambda: "bug")


def _sequence(trial: Trial, mode: Mode) -> Iterator[Trial]:
    """The trials of a declared sequence of calls, each side going on from what it holds."""
    pair = trial.session.pair
    if pair is None or pair.sequence is None:
        return
    state, leaves = trial.state, trial.session.carried(trial.state)
    for index, (method, inputs) in enumerate(pair.sequence(*trial.inputs)):
        call = replace(
            trial,
            session=trial.session.calling(method, inputs),
            example=replace(trial.example, seed=trial.example.seed + index),
            given=(state, inputs),
            leaves=leaves,
            found={},
        )
        yield call
        state = {**state, **call.raw_reference(mode).buffers}
        leaves = {**leaves, **call.raw_candidate(mode).buffers}


LOOP = Check("loop", "stale closures, lost or leaking state, cached decoding, iteration counts", run, once=True)
