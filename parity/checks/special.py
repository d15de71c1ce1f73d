"""Outputs, gradients and buffers agree on values that random draws do not hit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from parity._errors import ReferenceRefuses
from parity.checks.base import Check, judged
from parity.checks.buffers import buffers
from parity.checks.forward import outputs
from parity.checks.gradients import input_grads, param_grads
from parity.comparison import scale_of
from parity.judgement import Finding, Judgement, Note
from parity.pair import Mode
from parity.strategies.special import WITHOUT_GRADIENT, special_names, special_values
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
    selects = (outputs,) if name in WITHOUT_GRADIENT else (outputs, input_grads, param_grads, buffers)
    for select in selects:
        parents = _parents(trial, fed, mode, select)
        for judgement in judged(fed, "special", mode, select, overrides, parents=parents):
            yield _named(judgement, f"{name}: ")


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
