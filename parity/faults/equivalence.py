"""Whether a fault that nothing caught changes anything at all: candidate against candidate, by brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import weight_bridge
from parity._errors import StructureMismatch
from parity.comparison import compare_all
from parity.explore import open_session
from parity.faults.gate import Bench
from parity.formats import UNIT_ROUNDOFF, Precision
from parity.pair import Pair
from parity.record import Record
from parity.session import Session
from parity.trial import ReferenceRefuses

ROUNDINGS = 64
"""Two ways to write one formula differ by less than this many roundings; a fault that counts differs by more."""


def equivalent(bench: Bench, broken: Pair, *, draws: int = 20) -> bool:
    """Whether no output, gradient or buffer of a faulty candidate differs from the correct one's.

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
        profiles = [example.profile for example in examples]
        more = [case.example(profiles[i % len(profiles)], 1000 + i) for i in range(draws)]
        for precision in ("float64", "float32"):
            if any(_differ(right, wrong, example, precision) for example in (*examples, *more)):
                return False
    return True


def _differ(right: Session, wrong: Session, example: object, precision: Precision) -> bool:
    """Whether one example tells them apart."""
    one, other = (replace(session, found={}).trial(example, precision) for session in (right, wrong))  # pyright: ignore[reportArgumentType]  # an Example
    try:
        return any(_far(one.raw_candidate(mode), other.raw_candidate(mode), precision) for mode in right.modes)
    except ReferenceRefuses:
        return False
    except StructureMismatch:
        return True


def _far(one: Record, other: Record, precision: Precision) -> bool:
    limit = ROUNDINGS * UNIT_ROUNDOFF[precision]
    kinds = ("outputs", "input_grads", "param_grads", "buffers")
    found = [c for kind in kinds for c in compare_all(getattr(one, kind), getattr(other, kind), precision)]
    return any(not np.isfinite(c.error) or c.error > limit for c in found)
