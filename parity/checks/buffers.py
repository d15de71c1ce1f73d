"""Buffers agree after every one of several calls, each starting from the buffers of the one before."""

from __future__ import annotations

from collections.abc import Iterator

from parity.checks.base import Check, judged
from parity.judgement import Finding
from parity.record import Arrays, Record
from parity.tolerance import Override
from parity.trial import Trial

CALLS = 3
"""Enough to tell a cumulative average from an exponential one."""


def buffers(record: Record) -> Arrays:
    """What the check compares."""
    return record.buffers


def run(trial: Trial, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """Judges the buffers after each of `CALLS` calls in training mode, and after one in evaluation mode."""
    if not trial.session.filled() - trial.session.candidate.parameters():
        return
    for mode in trial.session.modes:
        for call in trial.successive(mode, CALLS if mode == "train" else 1):
            yield from judged(call, "buffers", mode, buffers, overrides)


BUFFERS = Check(
    "buffers",
    "momentum conventions, biased statistics, updates in the wrong mode, state that is not written back",
    run,
    needs_plan=True,
)
