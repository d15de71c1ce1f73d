"""Outputs agree at sizes at the edge: a batch of one, none at all, length one, one less along every axis, two, four, …

A layer deep in a network meets odd and even lengths only if the network's own input differs by enough: after strides of
four in all, that is by four.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from parity._errors import ReferenceRefuses, StructureMismatch
from parity.checks.base import Check, judged
from parity.checks.forward import outputs
from parity.comparison import Comparison
from parity.judgement import Finding, Judgement
from parity.pair import Mode
from parity.refusals import taken
from parity.tolerance import Bound, Override
from parity.trial import Trial

Sized = tuple[np.ndarray, ...]

ONE, NONE, LESS, LENGTH_ONE = "batch of one", "empty batch", "one less along axis", "length one along axis"


def run(trial: Trial, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """Judges every size that the reference takes; a batch of one in every mode, the others in the first."""
    for fed in resized(trial):
        for mode in trial.session.modes if fed.example.profile == ONE else trial.session.modes[:1]:
            yield from _at(fed, mode, overrides)


def resized(trial: Trial) -> Iterator[Trial]:
    """The trial at every size, along axes that all inputs share with the first; its profile names the size."""
    first = next((x for x in trial.inputs if x.ndim), None)
    if first is None:
        return
    yield _fed(trial, ONE, {0: 1})
    yield _fed(trial, NONE, {0: 0})
    free: dict[int, int] = {}
    for axis, size in enumerate(first.shape[1:], 1):
        if size > 2:
            less = _fed(trial, f"{LESS} {axis}", {axis: size - 1})
            yield less
            free |= {axis: size} if _takes(less) else {}
        if size > 1:
            yield _fed(trial, f"{LENGTH_ONE} {axis}", {axis: 1})
    less = 2
    while free and less < min(free.values()):
        sizes = {axis: size - less for axis, size in free.items()}
        yield _fed(trial, f"{less} less along axes {', '.join(map(str, free))}", sizes)
        less *= 2


def _at(fed: Trial, mode: Mode, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """Judges one size."""
    name = fed.example.profile
    try:
        for judgement in judged(fed, "sizes", mode, outputs, overrides, gradients=False):
            named = replace(judgement, comparison=_named(judgement.comparison, name))
            # Torch's pixel_unshuffle, for one, gives an empty batch back in the shape that it had.
            accident = name == NONE and judgement.comparison.kind == "structure"
            yield replace(named, verdict="semantic boundary", ok=True) if accident else named
    except ReferenceRefuses as refusal:
        if _degenerate(name) or taken(fed, mode) is None:
            return
        # Statistics of a single row are refused by torch alone, as a matter of style.
        problem = f"only the reference refuses {'a ' if name == ONE else ''}{name}, in {mode} mode: {refusal}"
        yield _shown(name, mode, problem, ok=name == ONE)
    except StructureMismatch as refusal:
        if not _degenerate(name):
            raise
        # The reference may take an empty batch, or broadcast a length of one, by accident.
        yield _shown(name, mode, f"{name}: {refusal}")


def _takes(fed: Trial) -> bool:
    """Whether the reference takes these inputs."""
    try:
        fed.forward_reference(fed.session.modes[0])
    except ReferenceRefuses:
        return False
    return True


def _degenerate(name: str) -> bool:
    """Whether either side may take or refuse a size by accident."""
    return name == NONE or name.startswith(LENGTH_ONE)


def _fed(trial: Trial, name: str, sizes: Mapping[int, int]) -> Trial:
    """The trial on inputs that are cut to these sizes along axes of the first, where they have them in its size."""
    first = next(x for x in trial.inputs if x.ndim)
    inputs = trial.inputs
    for axis, size in sizes.items():
        inputs = _cut(inputs, axis, first.shape[axis], size)
    fed = trial.fed(inputs, profile=name)
    return replace(fed, example=replace(fed.example, declared=()))  # what was declared is of other sizes


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
