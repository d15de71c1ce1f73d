"""Outputs, gradients and buffers agree on values that random draws do not hit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from parity._errors import ReferenceRefuses
from parity.checks.base import Check, judged
from parity.checks.buffers import buffers
from parity.checks.forward import outputs
from parity.checks.gradients import input_grads, param_grads
from parity.comparison import compare_all, scale_of
from parity.formats import is_floating
from parity.judgement import Finding, Judgement, Note
from parity.pair import Mode
from parity.strategies.special import HUGE, SUBNORMAL, WITHOUT_GRADIENT, special_names, special_values
from parity.tolerance import Override
from parity.trial import Trial
from parity.verdicts import Select


def run(trial: Trial, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """Judges every special in every mode, with what is compiled already."""
    declared = trial.example.declared
    for name in special_names(declared):
        fed = trial.fed(special_values(name, trial.inputs, declared, trial.precision), profile=name)
        for mode in trial.session.modes:
            if name in WITHOUT_GRADIENT and trial.reference(mode).draws:
                continue  # a dropped NaN is a NaN where dropout multiplies, and a zero where it selects
            try:
                yield from _judged(trial, fed, mode, overrides)
            except ReferenceRefuses as refusal:
                yield Note(f"special: the reference refuses {name}: {refusal}")


def _judged(trial: Trial, fed: Trial, mode: Mode, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """One special in one mode."""
    name = fed.example.profile
    # Behind an output that no number of the format is, a gradient has no right value, as behind a NaN.
    lost = name == HUGE and not all(np.isfinite(value).all() for value in outputs(fed.reference(mode)).values())
    selects = (outputs,) if lost or name in WITHOUT_GRADIENT else (outputs, input_grads, param_grads, buffers)
    for select in selects:
        parents = _parents(trial, fed, mode, select)
        for judgement in judged(fed, "special", mode, select, overrides, parents=parents):
            flushed = not judgement.ok and name == SUBNORMAL and _as_zeros(trial, fed, mode, judgement)
            yield _named(replace(judgement, verdict="precision mode", ok=True) if flushed else judgement, f"{name}: ")


def _as_zeros(trial: Trial, fed: Trial, mode: Mode, judgement: Judgement) -> bool:
    """Whether the candidate gives what the reference does where subnormal inputs are zeros, as XLA takes them."""
    zeros = tuple(np.where(np.abs(x) < np.finfo(x.dtype).tiny, 0, x) if is_floating(x) else x for x in fed.inputs)
    name = judgement.comparison.name
    expected, got, ordinary = (
        outputs(run)[name] for run in (fed.fed(zeros).oracle(mode), fed.candidate(mode), trial.reference(mode))
    )
    (found,) = compare_all({name: expected}, {name: got}, fed.precision, {name: scale_of(ordinary)})
    return found.error <= judgement.bound.limit


def _parents(trial: Trial, fed: Trial, mode: Mode, select: Select) -> dict[str, float]:
    """Scales beside which a leaf is noise: for gradients, their size at ordinary values; for outputs, the inputs'."""
    ordinary = {name: scale_of(value) for name, value in select(trial.reference(mode)).items()}
    if select is not outputs:
        return ordinary
    inputs = max((scale_of(value) for value in fed.inputs), default=0.0)
    return {name: min(scale, inputs) for name, scale in ordinary.items()}


def _named(judgement: Judgement, prefix: str) -> Judgement:
    comparison = judgement.comparison
    return replace(judgement, comparison=replace(comparison, name=f"{prefix}{comparison.name}"))


SPECIAL = Check(
    "special",
    "zero padding of maxima, unguarded roots and logarithms, subgradients, ties, floors and caps, overflow",
    run,
    once=True,
)
