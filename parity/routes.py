"""Which runs show what a failing check has found: the trial, the mode and the kind of array to trace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from parity.checks.buffers import CALLS
from parity.checks.sizes import resized
from parity.pair import Mode
from parity.report import Result
from parity.strategies.special import special_values
from parity.trial import Trial


@dataclass(frozen=True)
class Route:
    """What to trace.

    Attributes:
      trial: both sides on the inputs that fail.
      check: `forward`, `input_grad`, `param_grad` or `buffers`.
      mode: `eval` or `train`.
    """

    trial: Trial
    check: str
    mode: Mode


def routes(trial: Trial, result: Result) -> Iterator[Route]:
    """Runs that may show a failure, the likeliest first.

    Args:
      trial: the failing example.
      result: of a failing check.

    Yields:
      Routes; none where no trace can show it, such as other first weights.
    """
    modes: tuple[Mode, ...] = trial.session.modes
    modes = tuple(sorted(modes, key=lambda mode: mode != result.mode))
    for mode in modes if not result.mode else modes[:1]:
        for other, check in _runs(trial, result, mode):
            yield Route(other, check, mode)


def _runs(trial: Trial, result: Result, mode: Mode) -> Iterator[tuple[Trial, str]]:
    """Trials and what to trace in them, in one mode."""
    if result.check in ("forward", "input_grad", "param_grad"):
        yield trial, result.check
    elif result.check == "buffers":
        yield from ((call, "buffers") for call in trial.successive(mode, CALLS))
    elif result.check in ("special", "sizes") and ": " in result.worst:
        name, leaf = result.worst.split(": ", 1)
        yield _fed(trial, result.check, name), _kind(leaf)
    elif result.check == "loop":
        yield trial.elsewhere(), "forward"
        yield from ((call, "forward") for call in trial.successive(mode, CALLS)[1:])
    elif result.check == "dtypes":
        yield trial.at("float64"), "forward"
        yield trial.at("bfloat16"), "forward"
    elif result.check in ("randomness", "transforms", "trajectory"):
        yield from ((trial, check) for check in ("forward", "input_grad", "param_grad", "buffers"))


def _fed(trial: Trial, check: str, name: str) -> Trial:
    """The trial on the inputs that a check made."""
    if check == "sizes":
        return next(fed for fed in resized(trial) if fed.example.profile == name)
    return trial.fed(special_values(name, trial.inputs, trial.example.declared, trial.precision), profile=name)


def _kind(leaf: str) -> str:
    """Which array a leaf name is of."""
    if re.match(r"output\b", leaf):
        return "forward"
    if re.match(r"input\b", leaf):
        return "input_grad"
    return "buffers" if "/" in leaf else "param_grad"
