"""Outputs agree at sizes at the edge: a batch of one, none at all, length one, one less along every axis, two, four, …

A layer deep in a network meets odd and even lengths only if the network's own input differs by enough: after strides of
four in all, that is by four.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from parity._errors import ReferenceRefuses, StructureMismatch
from parity.checks.base import Check, judged
from parity.checks.forward import outputs
from parity.comparison import Comparison
from parity.judgement import Finding, Judgement
from parity.pair import Mode
from parity.refusals import accepted
from parity.tolerance import Bound, Override
from parity.trial import Trial

Sized = tuple[np.ndarray, ...]

ONE, NONE, LESS, LENGTH_ONE = "batch of one", "empty batch", "one less along axis", "length one along axis"


def run(trial: Trial, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """Judges every size that the reference takes; a batch of one in every mode, the others in the first."""
    for name, inputs in sizes_of(trial.inputs):
        for mode in trial.session.modes if name == ONE else trial.session.modes[:1]:
            yield from _at(trial, name, inputs, mode, overrides)
    for name, inputs in smaller(trial.inputs, _free_axes(trial)):
        yield from _at(trial, name, inputs, trial.session.modes[0], overrides)


def _at(trial: Trial, name: str, inputs: Sized, mode: Mode, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """Judges one size."""
    fed = trial.fed(inputs, profile=name)
    try:
        for judgement in judged(fed, "sizes", mode, outputs, overrides, gradients=False):
            yield replace(judgement, comparison=_named(judgement.comparison, name))
    except ReferenceRefuses as refusal:
        if _degenerate(name) or accepted(fed, mode) is None:
            return
        # Statistics of a single row are refused by torch alone, as a matter of style.
        problem = f"only the reference refuses {'a ' if name == ONE else ''}{name}, in {mode} mode: {refusal}"
        yield _shown(name, mode, problem, ok=name == ONE)
    except StructureMismatch as refusal:
        if not _degenerate(name):
            raise
        # The reference may take an empty batch, or broadcast a length of one, by accident.
        yield _shown(name, mode, f"{name}: {refusal}")


def sizes_of(inputs: Sized) -> Iterator[tuple[str, Sized]]:
    """Names and inputs of other sizes along axes that all inputs share with the first."""
    first = next((x for x in inputs if x.ndim), None)
    if first is None:
        return
    yield ONE, _cut(inputs, 0, first.shape[0], 1)
    yield NONE, _cut(inputs, 0, first.shape[0], 0)
    for axis in range(1, first.ndim):
        size = first.shape[axis]
        if size > 2:
            yield f"{LESS} {axis}", _cut(inputs, axis, size, size - 1)
        if size > 1:
            yield f"{LENGTH_ONE} {axis}", _cut(inputs, axis, size, 1)


def smaller(inputs: Sized, axes: tuple[int, ...]) -> Iterator[tuple[str, Sized]]:
    """Names and inputs that are two, four, eight, … less along all these axes of the first input."""
    first = next((x for x in inputs if x.ndim), None)
    if first is None or not axes:
        return
    less = 2
    while less < min(first.shape[axis] for axis in axes):
        cut = inputs
        for axis in axes:
            cut = _cut(cut, axis, first.shape[axis], first.shape[axis] - less)
        yield f"{less} less along axes {', '.join(map(str, axes))}", cut
        less *= 2


def _free_axes(trial: Trial) -> tuple[int, ...]:
    """The axes along which the reference takes another size."""
    return tuple(
        int(name.rsplit(maxsplit=1)[1])
        for name, inputs in sizes_of(trial.inputs)
        if name.startswith(LESS) and _takes(trial.fed(inputs, profile=name))
    )


def _takes(trial: Trial) -> bool:
    """Whether the reference takes these inputs."""
    try:
        trial.forward_reference(trial.session.modes[0])
    except ReferenceRefuses:
        return False
    return True


def _degenerate(name: str) -> bool:
    """Whether either side may take or refuse a size by accident."""
    return name == NONE or name.startswith(LENGTH_ONE)


def _cut(inputs: Sized, axis: int, size: int, to: int) -> Sized:
    """Inputs shortened along an axis, where they have it in that size."""
    return tuple(np.take(x, range(to), axis=axis) if x.ndim > axis and x.shape[axis] == size else x for x in inputs)


def _shown(name: str, mode: Mode, problem: str, *, ok: bool = True) -> Judgement:
    """A size that one side refuses; a degenerate one is shown, and let pass."""
    comparison = Comparison(name, np.inf, np.inf, np.inf, (), np.nan, np.nan, problem=problem, kind="structure")
    verdict = "semantic boundary" if ok else "structure"
    return Judgement("sizes", mode, comparison, Bound(0.0, "both refuse, or neither"), verdict, ok)


def _named(comparison: Comparison, name: str) -> Comparison:
    return replace(comparison, name=f"{name}: {comparison.name}")


SIZES = Check("sizes", "batches of one, empty ones, divisibility, sizes that are assumed", run, once=True)
