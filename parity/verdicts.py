"""What an error beyond its bound means: more runs of both sides tell noise, conventions and faults apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np

from parity._errors import ReferenceRefuses, StructureMismatch
from parity.comparison import Comparison, compare_all, scale_of
from parity.formats import UNIT_ROUNDOFF, Precision
from parity.judgement import Verdict, overflowing
from parity.pair import Mode
from parity.record import Arrays, Record
from parity.strategies.special import HUGE
from parity.tolerance import HIDDEN, ILL_CONDITIONED, NUDGE, Bound
from parity.trial import Trial

Select = Callable[[Record], Arrays]

SHAKES = 3
"""Runs with other roundings at every operation, of which the one that is farthest from the reference counts."""

DISPLACEMENTS = 2
"""Independent displacements after which an error that is gone each time was one of a kink."""


def explained(trial: Trial, mode: Mode, select: Select, comparison: Comparison, bound: Bound) -> Verdict:
    """The verdict on one leaf beyond its bound.

    In this order: names and shapes differ (`structure`); a conversion to a format whose rounding is as large was found
    on either side (`precision mode`); float64 agrees (`stability`); a displacement off exact zeros, ties and kinks
    makes the error vanish (`semantic boundary`, or `ambiguous tie` where choices differ); the reference's own run is as
    far from itself under a few roundings (`ill-conditioned`). What is left is a `bug`, and so is every NaN that only
    one side has: no convention makes a number of it.

    Args:
      trial: both sides.
      mode: `eval` or `train`.
      select: which arrays of a record were compared.
      comparison: of the leaf.
      bound: that it exceeded.

    Returns:
      The verdict.
    """
    if comparison.kind == "structure":
        return "structure"
    if comparison.kind == "numbers" and explained_by_format(trial, mode, comparison.error):
        return "precision mode"
    if trial.precision != "float64" and _right_in_float64(trial, mode, select, comparison.name):
        return "stability"
    if comparison.kind == "non-finite":
        return "semantic boundary" if _both_lost(trial, mode, select, comparison.name) else "bug"
    if _vanishes_off_kinks(trial, mode, select, comparison.name, bound):
        return "ambiguous tie" if comparison.kind == "discrete" else "semantic boundary"
    if comparison.kind == "numbers" and comparison.error <= ILL_CONDITIONED * sensitivity(
        trial, mode, select, comparison.name
    ):
        return "ill-conditioned"
    return "bug"


def explained_by_format(trial: Trial, mode: Mode, error: float) -> bool:
    """Whether a conversion inside a float64 run is as coarse as the error; a 16-bit one must be the reference's own."""
    if trial.precision != "float64" or error > max(HIDDEN.values()):
        return False
    return any(error <= HIDDEN[name] for name in conversions(trial, mode))


def conversions(trial: Trial, mode: Mode) -> set[Precision]:
    """Shorter formats that are converted to inside a float64 run, as far as they excuse anything.

    The reference's own do, whatever they are; the candidate's only if it is float32.
    """
    reference, candidate = (audit.coarsest for audit in trial.audits(mode))
    return {name for name in get_args(Precision) if name == reference or name == candidate == "float32"}


def sensitivity(trial: Trial, mode: Mode, select: Select, name: str) -> float:
    """How far the reference is from itself under roundings: those of its inputs and weights, and those on the way.

    The first is how far its float64 leaf moves when inputs and weights do by `NUDGE` roundings of the format. The
    others, which are larger where large terms cancel, are in float64 how far it moves with one rounding more at every
    operation, and its error in float32, scaled: that one sees inside an operator, where the roundings do not reach.
    """
    moved = trial.moved(NUDGE * UNIT_ROUNDOFF[trial.precision], off_zero=False).at("float64")
    try:
        truth = select(trial.oracle(mode))
        found = [error_of(truth, select(moved.oracle(mode)), name)]
        if trial.precision == "float64":
            found += [error_of(truth, select(trial.shaken(mode, seed)), name) for seed in range(SHAKES)]
            short = trial.at("float32")
            scale = UNIT_ROUNDOFF["float64"] / UNIT_ROUNDOFF["float32"]
            found.append(scale * error_of(select(short.oracle(mode)), select(short.reference(mode)), name))
    except ReferenceRefuses:
        return 0.0
    return max((error for error in found if np.isfinite(error)), default=0.0)


def _both_lost(trial: Trial, mode: Mode, select: Select, name: str) -> bool:
    """Whether inputs were not finite or too large, the outputs of both sides show it, and the candidate loses no more.

    Whether it shows as NaN or as inf is a matter of the order of operations, and so is how far it spreads in the
    reference: a masked NaN times zero is a NaN, and one that is never read is not. A candidate that shows nothing
    swallows it, and one that has a NaN where the reference has a number makes it, unless it has convolutions in groups:
    XLA computes them as one over all channels, with zeros between the groups.
    """
    if trial.example.profile != HUGE and all(np.isfinite(value).all() for value in trial.inputs):
        return False
    expected, got = (np.isfinite(select(side(mode))[name]) for side in (trial.reference, trial.candidate))
    within = bool((got | ~expected).all()) or trial.audits(mode)[1].grouped
    return within and bool(got.all() == expected.all())


def error_of(truth: Arrays, got: Arrays, name: str) -> float:
    """The relative error of one leaf, inf where it cannot be compared."""
    siblings = {name: max(map(scale_of, truth.values()), default=0.0)}
    one, other = ({name: side[name]} if name in side else {} for side in (truth, got))
    return next((c.error for c in compare_all(one, other, "float64", siblings, measure=False)), np.inf)


def _right_in_float64(trial: Trial, mode: Mode, select: Select, name: str) -> bool:
    """Whether the same numbers agree in float64, to far more digits than the format has."""
    wide = trial.at("float64")
    try:
        error = error_of(select(wide.oracle(mode)), select(wide.candidate(mode)), name)
    except (ReferenceRefuses, StructureMismatch):
        return False
    return error <= UNIT_ROUNDOFF[trial.precision] * 1e-3


def _vanishes_off_kinks(trial: Trial, mode: Mode, select: Select, name: str, bound: Bound) -> bool:
    """Whether the leaf is within its bound wherever inputs and weights are moved off exact values."""
    size = float(np.sqrt(UNIT_ROUNDOFF[trial.precision]))
    for seed in range(DISPLACEMENTS):
        moved = trial.moved(size, off_zero=True, seed=seed)
        try:
            truth = overflowing(select(moved.oracle(mode)), select(moved.reference(mode)))
            if not error_of(truth, select(moved.candidate(mode)), name) <= bound.limit:
                return False
        except (ReferenceRefuses, StructureMismatch):
            return False
    return True
