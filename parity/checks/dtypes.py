"""Formats agree: of the outputs, and of what is computed on the way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.audit import FAMILIES, Audit, Narrowing
from parity.checks.base import Check
from parity.comparison import Comparison
from parity.formats import UNIT_ROUNDOFF, Precision
from parity.judgement import TOLERATED, Finding, Judgement, Note, settled
from parity.pair import Mode
from parity.record import Arrays
from parity.tolerance import Bound, Override
from parity.trial import REFUSALS, Trial

STRICT = TOLERATED - {"precision mode"}
"""What lets a candidate pass here: a format of its own is what this check looks for."""


def run(trial: Trial, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """Judges the candidate's narrow formats in a float64 run, those of its sensitive operations in a bfloat16 one, and
    the formats of its outputs in the run at hand.
    """
    for mode in trial.session.modes:
        reference, candidate = trial.audits(mode, "float64")
        found = [_narrowing(n) for n in candidate.narrowings if _coarser(n, reference)]
        found += _promoted(trial.reference(mode).outputs, trial.candidate(mode).outputs)
        try:
            found += _families(*trial.audits(mode, "bfloat16"))
        except REFUSALS as refusal:
            yield Note(f"dtypes: bfloat16 is refused, {mode} mode: {type(refusal).__name__}: {refusal}")
        for comparison in found or [Comparison("every format", 0.0, 0.0, 0.0, (), 0.0, 0.0)]:
            yield _judged(trial.precision, mode, comparison, overrides)


def _judged(precision: Precision, mode: Mode, found: Comparison, overrides: tuple[Override, ...]) -> Judgement:
    """A format that the candidate alone uses fails, unless an override grants its rounding."""
    bound = Bound(0.0, "the reference computes everything in the format asked for").loosened(
        "dtypes", found.name, precision, overrides
    )
    return settled("dtypes", mode, found, bound, precision, lambda: "precision mode", tolerated=STRICT)


def _narrowing(narrowing: Narrowing) -> Comparison:
    """One place as a comparison: what its format rounds by, against nothing."""
    rounding = UNIT_ROUNDOFF[narrowing.format]
    return Comparison(str(narrowing), rounding, 1.0, 1.0, (), 0.0, rounding)


def _coarser(narrowing: Narrowing, reference: Audit) -> bool:
    """Whether a place of the candidate uses a format coarser than any that the reference uses itself."""
    own = reference.coarsest
    return own is None or UNIT_ROUNDOFF[narrowing.format] > UNIT_ROUNDOFF[own]


def _families(reference: Audit, candidate: Audit) -> list[Comparison]:
    """Sensitive operations that the reference widens and the candidate does not."""
    found: list[Comparison] = []
    for family in FAMILIES:
        wide, own = reference.families.get(family, frozenset()), candidate.families.get(family, frozenset())
        if wide and "bfloat16" not in wide and own == frozenset({"bfloat16"}):
            name = f"{family} in bfloat16 where the reference widens to {', '.join(sorted(wide))}"
            found.append(_narrowing_of(name))
    return found


def _narrowing_of(name: str) -> Comparison:
    rounding = UNIT_ROUNDOFF["bfloat16"]
    return Comparison(name, rounding, 1.0, 1.0, (), 0.0, rounding)


def _promoted(reference: Arrays, candidate: Arrays) -> list[Comparison]:
    """Outputs whose format or kind is another; widths of integers are the frameworks' own affair."""
    found: list[Comparison] = []
    for name, expected in reference.items():
        got = candidate.get(name)
        if got is not None and _kind(expected) != _kind(got):
            problem = f"{got.dtype} where the reference has {expected.dtype}"
            found.append(
                Comparison(name, np.inf, np.inf, np.inf, (), np.nan, np.nan, problem=problem, kind="structure")
            )
    return found


def _kind(array: np.ndarray) -> str:
    """The format of a floating array, the kind of any other."""
    return "integer" if array.dtype.kind in "iu" else str(array.dtype)


DTYPES = Check(
    "dtypes", "a hidden float32 in a float64 run, 16-bit sums and softmaxes, other promotion", run, once=True
)
