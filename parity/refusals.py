"""A call that the reference refuses: the candidate has to refuse it too, where a compiled function can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from parity._errors import ReferenceRefuses, StructureMismatch
from parity.formats import is_floating
from parity.pair import Mode
from parity.record import Example, Record
from parity.trial import Trial

DRAWS = 3
"""Draws of other values, beside constants, after which a refusal is one of sizes, which a compiled function knows."""


def unmatched(trial: Trial) -> str | None:
    """What is wrong where the reference refuses an example.

    A refusal of values, as of a NaN, is the reference's own affair: a compiled function cannot look at them. One of
    sizes, kinds or settings comes with every draw of values, and then the candidate has to refuse as well.

    Args:
      trial: of an example that the reference refuses in some mode.

    Returns:
      The problem; None where the candidate refuses too, or where other values are taken.
    """
    for mode in trial.session.modes:
        try:
            trial.reference(mode)
        except ReferenceRefuses as refusal:
            record = taken(trial, mode)
            if record is not None:
                shapes = ", ".join(f"{name} of shape {list(value.shape)}" for name, value in record.outputs.items())
                return f"only the reference refuses, in {mode} mode: {refusal}; the candidate returns {shapes}"
    return None


def taken(trial: Trial, mode: Mode) -> Record | None:
    """What the candidate computes where the reference refuses, whatever the values.

    Args:
      trial: of an example that the reference refuses.
      mode: in which it does.

    Returns:
      The candidate's record; None where it refuses as well, or where the reference takes other values.
    """
    if not _refuses_any_values(trial, mode):
        return None
    try:
        return replace(trial, found={("reference, forward", mode): Record({})}).run_candidate(mode, gradients=False)
    except StructureMismatch:
        return None


def _refuses_any_values(trial: Trial, mode: Mode) -> bool:
    """Whether the reference refuses other values of the same inputs too: mild ones, and other draws."""
    for inputs in _other_values(trial.example):
        try:
            trial.fed(inputs).forward_reference(mode)
        except ReferenceRefuses:
            continue
        return False
    return True


def _other_values(example: Example) -> Iterator[tuple[np.ndarray, ...]]:
    """The inputs with other values: constants of their kind, and what is drawn where a pair says what they are."""
    for constant in (0.0, 0.5, 1.0):
        yield tuple(np.full_like(x, constant if is_floating(x) else int(constant)) for x in example.inputs)
    for seed in range(DRAWS if example.declared else 0):
        rng = np.random.default_rng([example.seed, 5, seed])
        yield tuple(given.values("normal", rng) for given in example.declared)
