"""Both sides draw for the same purposes: rates, shapes and places; and the candidate's keys are fresh.

That the numbers are *used* alike is what the other checks see in training mode, where both sides get the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from parity.checks.base import Check
from parity.comparison import Comparison
from parity.judgement import Finding, Judgement, Note, settled
from parity.noise import OTHER, Draw, Request, chances_agree
from parity.pair import Mode
from parity.tolerance import Bound, Override
from parity.trial import Trial


@dataclass(frozen=True)
class Stale:
    """A key that is no fresh one.

    Attributes:
      text: what is wrong with it.
      draws: numbers of the candidate's draws that it serves.
      frozen: it is the same at every call; otherwise several draws of one call share it.
    """

    text: str
    draws: tuple[int, ...] = ()
    frozen: bool = False


def run(trial: Trial, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """Judges draws in every mode, and keys in training mode."""
    for mode in trial.session.modes:
        drawn = trial.reference(mode).draws
        requests = trial.session.candidate.requests_of(mode == "train", drawn) if trial.candidate(mode) else ()
        for draw in drawn:
            if draw.kind == OTHER:
                yield Note(f"randomness: the numbers of a draw of shape {list(draw.shape)} cannot be shared")
        used = _used(trial, mode, drawn, requests)
        if used != requests:
            yield Note(f"randomness: the candidate draws numbers that it does not use, in {mode} mode")
        for problem in _unmatched(drawn, used) or [None]:
            yield _judged(trial, mode, problem, overrides)
        if mode == "train" and drawn:
            for stale in stale_keys(trial, requests) or [None]:
                yield _judged(trial, mode, stale and stale.text, overrides)


def _judged(trial: Trial, mode: Mode, problem: str | None, overrides: tuple[Override, ...]) -> Judgement:
    """A problem with a draw, or that there is none."""
    error = np.inf if problem else 0.0
    kind = "structure" if problem else "numbers"
    comparison = Comparison("draws", error, error, error, (), np.nan, np.nan, problem=problem, kind=kind)
    bound = Bound(0.0, "the same draws on both sides").loosened("randomness", "draws", trial.precision, overrides)
    return settled("randomness", mode, comparison, bound, trial.precision, lambda: "bug")


def _used(trial: Trial, mode: Mode, drawn: tuple[Draw, ...], requests: tuple[Request, ...]) -> tuple[Request, ...]:
    """The candidate's draws without those that nothing depends on: found once for a configuration."""
    from parity.backends.keys import idle_draws

    matched = tuple(request for request in requests if request.source is not None)
    if matched == requests:
        return requests
    session, train, precision = trial.session, mode == "train", trial.precision

    def idle() -> bool:
        leaves, inputs = session.carried(trial.state), session.laid_out(trial.inputs)
        return idle_draws(session.candidate, leaves, inputs, drawn, precision=precision, train=train)

    return matched if session.once(("idle draws", train, precision, drawn), idle) else requests


def _unmatched(drawn: tuple[Draw, ...], requests: tuple[Request, ...]) -> list[str]:
    """Draws of one side only, and rates or sizes that differ."""
    return [f"only the candidate draws {r.draw}" for r in requests if r.source is None] + unshared(drawn, requests)


def unshared(drawn: tuple[Draw, ...], requests: tuple[Request, ...]) -> list[str]:
    """Draws of the reference that the candidate makes of another size or rate, or not at all."""
    taken = {request.source for request in requests}
    missing = [draw for i, draw in enumerate(drawn) if i not in taken and draw.kind != OTHER]
    problems = [f"the candidate does not draw {draw}" for draw in missing]
    for request in requests:
        if request.source is not None and not _alike(drawn[request.source], request.draw):
            problems.append(f"the candidate draws {request.draw} where the reference has {drawn[request.source]}")
    return problems


def _alike(one: Draw, other: Draw) -> bool:
    """Whether two draws have as many numbers and, as far as they are known, the same probability."""
    return math.prod(one.shape) == math.prod(other.shape) and chances_agree(one, other)


def stale_keys(trial: Trial, requests: tuple[Request, ...]) -> list[Stale]:
    """Keys that serve two different draws of the reference, or every call.

    Args:
      trial: any example.
      requests: the candidate's draws in training mode.

    Returns:
      What is wrong; nothing where every draw of every call has a key of its own.
    """
    from parity.backends.keys import keys_of_two_calls

    session = trial.session
    leaves, inputs = session.carried(trial.state), session.laid_out(trial.inputs)
    fresh = session.fresh_candidate(trial.inputs)  # its keys are its own, where the session's model may be a stand-in
    inside = session.candidate.draws_inside(True, trial.reference("train").draws) is not False
    first, second = keys_of_two_calls(fresh, leaves, inputs, precision=trial.precision, inside=inside)
    if not len(first) == len(second) == len(requests):
        return [Stale("the candidate draws another number of times when it is not compiled")]
    used = _used(trial, "train", trial.reference("train").draws, requests)
    problems: list[Stale] = []
    for index, key in enumerate(first):
        if key is None or requests[index] not in used:
            continue
        if key == second[index]:
            text = f"{requests[index].draw} has the same key at every call: its numbers never change"
            problems.append(Stale(text, (index,), frozen=True))
        same = [i for i in range(index) if first[i] == key and requests[i].source != requests[index].source]
        text = "draws {} and {} of a call have the same key: their numbers are the same"
        problems += [Stale(text.format(i, index), (i, index)) for i in same]
    return problems


RANDOMNESS = Check(
    "randomness", "dropout rates and granularity, missing and extra draws, reused and frozen keys", run, once=True
)
