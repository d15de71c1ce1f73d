"""Whether a fault that nothing caught changes anything at all: candidate against candidate, by brute force."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import attrgetter
from types import MappingProxyType

import numpy as np

import weight_bridge
from parity._errors import ReferenceRefuses, StructureMismatch
from parity.audit import Audit
from parity.comparison import compare_all
from parity.explore import open_session
from parity.faults.gate import Bench
from parity.formats import Precision
from parity.pair import Mode, Pair
from parity.record import Example
from parity.session import Session
from parity.tolerance import ILL_CONDITIONED
from parity.trial import Trial
from parity.verdicts import error_of, sensitivity

LIMITS: Mapping[Precision, float] = MappingProxyType({"float64": 1e-12, "float32": 1e-4})
"""Relative differences that roundings can make in small models; a fault that counts makes larger ones somewhere."""

Far = Callable[[Trial, Trial, Mode], bool]
"""Whether something differs between two candidates in one mode."""

OBSERVED = ("outputs", "input_grads", "param_grads", "buffers")
"""What of a record counts."""


def equivalent(bench: Bench, broken: Pair, *, draws: int = 20) -> bool:
    """Whether no output, gradient or buffer of a faulty candidate differs from the correct one's, nor any format.

    Args:
      bench: of the correct pair.
      broken: the same with a fault.
      draws: examples per case, in float64 and float32, in every mode of the pair.

    Returns:
      True where nothing differs by more than roundings.
    """
    for case, examples in bench.drawn:
        try:
            right = open_session(bench.pair, bench.label, case, examples[0])
            wrong = open_session(broken, bench.label, case, examples[0])
        except (StructureMismatch, weight_bridge.WeightBridgeError):
            return False
        assert right is not None
        assert wrong is not None
        wrong = replace(wrong, reference=right.reference)  # the same fresh weights
        profiles = [example.profile for example in examples]
        more = [case.example(profiles[i % len(profiles)], 1000 + i) for i in range(draws)]
        if _differ(right, wrong, examples[0], "bfloat16", _formatted):
            return False
        for precision in LIMITS:
            if any(_differ(right, wrong, example, precision) for example in (*examples, *more)):
                return False
    return True


def _differ(right: Session, wrong: Session, example: Example, precision: Precision, far: Far | None = None) -> bool:
    """Whether one example tells them apart, by its numbers or what else is asked."""
    one, other = (Trial(replace(session, found={}), example, precision) for session in (right, wrong))
    try:
        return any((far or _far)(one, other, mode) for mode in right.modes)
    except ReferenceRefuses:
        return False
    except StructureMismatch:
        return True


def _formatted(right: Trial, wrong: Trial, mode: Mode) -> bool:
    """Whether anything is computed or returned in another format, asked for this one or for float64."""

    def formats(trial: Trial) -> tuple[dict[str, np.dtype], list[Audit]]:
        returned = {name: value.dtype for name, value in trial.raw_candidate(mode).outputs.items()}
        return returned, [trial.audits(mode, precision)[1] for precision in (trial.precision, "float64")]

    return formats(right) != formats(wrong)


def _far(right: Trial, wrong: Trial, mode: Mode) -> bool:
    """Whether anything is farther from the truth than the right candidate is, by more than roundings can make.

    The gradient of a bias before a softmax is nothing but roundings, and all of them change with the bias.
    """
    for kind in OBSERVED:
        select = attrgetter(kind)
        truth = select(right.oracle(mode))
        for found in compare_all(truth, select(wrong.candidate(mode)), right.precision):
            if found.error <= LIMITS[right.precision]:
                continue
            own = error_of(truth, select(right.candidate(mode)), found.name)
            if not found.error <= ILL_CONDITIONED * max(own, sensitivity(right, mode, select, found.name)) < np.inf:
                return True
    return False
