"""Two aligned calls with their arrays matched: what the candidate does with what the reference was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from parity.alignment import Aligned, align
from parity.comparison import compare_all
from parity.formats import Precision
from parity.layout import Layouts
from parity.placement import Placement, match, to_candidate, to_reference
from parity.record import Arrays, Record
from parity.session import Session
from parity.tolerance import NOISE
from parity.trace import ModuleCall, Trace

Matched = Mapping[str, tuple[str, Placement]]
"""Candidate leaf → reference leaf and how it lies there."""


@dataclass(frozen=True)
class Twin:
    """A call of the reference and the call of the candidate that does the same work.

    Attributes:
      reference: on the torch side.
      candidate: on the JAX side.
      inputs: floating arguments of the candidate, and those of the reference that they are.
      outputs: the same for results.
      precision: of the comparison.
      children: pairs directly within this one.
    """

    reference: ModuleCall
    candidate: ModuleCall
    inputs: Matched
    outputs: Matched
    precision: Precision
    children: list[Twin] = field(default_factory=list["Twin"], compare=False)

    @cached_property
    def received(self) -> float:
        """Relative error of the arguments in the candidate's own run."""
        return worst(
            to_candidate(self.inputs, self.reference.inputs),
            {leaf: self.candidate.inputs[leaf] for leaf in self.inputs},
            self.precision,
        )

    @cached_property
    def carried(self) -> float:
        """Relative error of the results in the candidate's own run."""
        return worst(self.expected, self.results(self.candidate.outputs), self.precision)

    @cached_property
    def own(self) -> float:
        """Relative error of the results on the reference's own arguments."""
        if not self.outputs:
            return 0.0
        if min(self.received, self.carried) <= NOISE:  # then forcing the arguments changes nothing
            return self.carried
        return worst(self.expected, self.results(self.forced.outputs), self.precision)

    @cached_property
    def forced(self) -> Record:
        """The candidate's module on the reference's arguments."""
        return self.candidate.rerun(to_candidate(self.inputs, self.reference.inputs))

    @cached_property
    def pulled(self) -> Record:
        """The same, with the gradients for the reference's cotangents."""
        return self.candidate.rerun(
            to_candidate(self.inputs, self.reference.inputs),
            to_candidate(self.outputs, self.reference.output_cotangents),
        )

    @property
    def expected(self) -> Arrays:
        """The reference's results that the candidate has too."""
        return {other: self.reference.outputs[other] for other, _ in self.outputs.values()}

    def results(self, outputs: Arrays) -> Arrays:
        """Results of the candidate, in the reference's names and layout."""
        return to_reference(self.outputs, outputs)

    def arguments(self, arrays: Arrays) -> Arrays:
        """Arguments of the candidate, or gradients by them, in the reference's names and layout."""
        return to_reference(self.inputs, arrays)

    def all(self) -> Iterator[Twin]:
        """This pair and all within it."""
        yield self
        for child in self.children:
            yield from child.all()


def twins(reference: Trace, candidate: Trace, session: Session, precision: Precision) -> Twin:
    """Aligns two traces and matches the arrays of every pair.

    Args:
      reference: torch side.
      candidate: JAX side.
      session: knows the weight mapping and the layouts of inputs and outputs.
      precision: of the candidate's trace.

    Returns:
      The models themselves, with all other pairs inside.
    """
    steps = session.plan.steps if session.plan is not None else ()
    names = session.reference.parameter_names()
    first = {alias: name for name, aliases in names.items() for alias in aliases}
    pairs = align(reference, candidate, steps, first)
    root = _root(pairs[0], session.layouts, precision)
    by_order = {pairs[0].reference.order: root}
    for pair in pairs[1:]:
        twin = _matched(pair, precision)
        if twin is not None:
            by_order[pair.reference.order] = twin
            _enclosing(reference, pair.reference, by_order).children.append(twin)
    return root


def worst(expected: Arrays, got: Arrays, precision: Precision) -> float:
    """Largest relative error of any leaf."""
    return max((comparison.error for comparison in compare_all(expected, got, precision)), default=0.0)


def _root(pair: Aligned, layouts: Layouts, precision: Precision) -> Twin:
    """The models themselves: leaves go by name, layouts are declared."""

    def declared(leaves: Arrays, others: Arrays) -> Matched:
        return {leaf: (leaf, _declared(layouts, leaf, leaves[leaf])) for leaf in others if leaf in leaves}

    a, b = pair.reference, pair.candidate
    return Twin(a, b, declared(a.inputs, b.inputs), declared(a.outputs, b.outputs), precision)


def _declared(layouts: Layouts, leaf: str, array: np.ndarray) -> Placement:
    """The declared layout of a leaf of the model."""
    axes = layouts.axes(leaf, array)
    return Placement(array.shape, axes, tuple(array.shape[axis] for axis in axes))


def _matched(pair: Aligned, precision: Precision) -> Twin | None:
    """The pair with its arrays matched; None where nothing corresponds."""
    a, b = pair.reference, pair.candidate
    inputs = match(a.inputs, b.inputs)
    moved = any(not way.plain for _, way in inputs.values())
    outputs = match(a.outputs, b.outputs, reordered=moved)
    floating = any(value.dtype.kind not in "biu" for value in b.inputs.values())
    if (floating and not inputs) or not outputs:
        return None
    return Twin(a, b, inputs, outputs, precision)


def _enclosing(trace: Trace, call: ModuleCall, found: Mapping[int, Twin]) -> Twin:
    """The smallest pair around a call."""
    while call.parent is not None:
        call = trace.calls[call.parent]
        if call.order in found:
            return found[call.order]
    return found[trace.root.order]
