"""Fresh candidates are initialised as fresh references are."""

from __future__ import annotations

from collections.abc import Iterator

from parity.checks.base import Check
from parity.comparison import Comparison
from parity.initial import Deviation, deviations
from parity.judgement import Finding, Judgement, settled
from parity.tolerance import Bound, Override, critical
from parity.trial import Trial

BUILDS = 8
"""Fresh references that initial values are compared with."""


def run(trial: Trial, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """Judges mean and spread of every leaf of a pair's candidate against several fresh references."""
    session = trial.session
    if session.plan is None or session.pair is None:
        return
    fresh, builds = session.fresh_candidate(trial.inputs), [session.fresh_reference(seed) for seed in range(BUILDS)]
    floating = {p: v for p, v in fresh.state().items() if p in builds[0] and v.dtype.kind not in "biu"}
    found = list(deviations(builds, floating))
    limit = Bound(critical(len(found)), f"standard deviations, for {len(found)} statistics together")
    for deviation in found:
        yield _statistic(trial, deviation, limit, overrides)


def _statistic(trial: Trial, found: Deviation, limit: Bound, overrides: tuple[Override, ...]) -> Judgement:
    comparison = Comparison(found.name, found.sigmas, 0.0, 0.0, (), found.expected, found.got)
    bound = limit.loosened("randomness", found.name, trial.precision, overrides)
    mode = trial.session.modes[0]
    return settled("randomness", mode, comparison, bound, trial.precision, lambda: "statistical")


INITIAL = Check(
    "initial", "initialisers, their fans and gains, biases that start at zero", run, needs_plan=True, once=True
)
