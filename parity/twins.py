"""Two aligned calls with their arrays matched: what the candidate does with what the reference was given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from parity.alignment import Aligned, align
from parity.comparison import compare_all
from parity.formats import Precision
from parity.layout import Layouts
from parity.placement import Placement, distance, match, place, to_candidate, to_reference
from parity.record import Arrays, Record
from parity.session import Session
from parity.tolerance import MODULE_BOUND, NOISE
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
      fit: `whole` where arguments and results correspond; `misfit` where the results have other sizes; `half` where
        only the results correspond, because the two sides divide the work differently.
      children: pairs directly within this one.
      fed: of a half pair, whether the candidate's arguments are right: each is some array of the reference.
    """

    reference: ModuleCall
    candidate: ModuleCall
    inputs: Matched
    outputs: Matched
    precision: Precision
    fit: Literal["whole", "misfit", "half"] = "whole"
    fed: Callable[[], bool] = lambda: False
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
        if self.fit == "misfit":
            return np.inf
        if self.fit == "half":
            return self.carried if self.carried > MODULE_BOUND and self.fed() else 0.0
        if not self.outputs:
            return 0.0
        if self._as_it_ran:
            return self.carried
        return worst(self.expected, self.results(self.forced.outputs), self.precision)

    @property
    def _as_it_ran(self) -> bool:
        """Whether giving it the reference's arguments changes nothing."""
        return self.carried <= NOISE or (self.received <= NOISE and not self.misled)

    @property
    def did(self) -> Arrays:
        """What the candidate does with the reference's arguments."""
        own = self.fit == "half" or self._as_it_ran
        return self.results(self.candidate.outputs if own else self.forced.outputs)

    @cached_property
    def misled(self) -> Mapping[str, str]:
        """Whole numbers, such as positions, that the candidate was given wrong: its leaves, and the reference's.

        What a number means is each side's own affair, so that different ones are no error by themselves. But a module
        that is right once it is given the reference's number was told a wrong one.
        """
        pairs = _numbers(self) if self.fit == "whole" and self.outputs and self.carried > NOISE else {}
        if not pairs:
            return {}
        arrays, told = to_candidate(self.inputs, self.reference.inputs), self._told(pairs)
        try:
            before, after = (self.candidate.rerun({**arrays, **numbers}).outputs for numbers in ({}, told))
        except Exception:  # whatever a model raises: a number that it refuses is none that it should have been told
            return {}
        wrong, right = (worst(self.expected, self.results(found), self.precision) for found in (before, after))
        return pairs if right <= MODULE_BOUND < wrong else {}

    def _told(self, pairs: Mapping[str, str]) -> Arrays:
        """The reference's numbers at the candidate's leaves."""
        return {leaf: self.reference.scalars[other] for leaf, other in pairs.items()}

    @property
    def _given(self) -> Arrays:
        """The reference's arguments, as the candidate takes them."""
        return {**to_candidate(self.inputs, self.reference.inputs), **self._told(self.misled)}

    @cached_property
    def forced(self) -> Record:
        """The candidate's module on the reference's arguments."""
        return self.candidate.rerun(self._given)

    @cached_property
    def pulled(self) -> Record:
        """The same, with the gradients for the reference's cotangents."""
        return self.candidate.rerun(self._given, to_candidate(self.outputs, self.reference.output_cotangents))

    def on(self, inputs: Arrays) -> Arrays:
        """The candidate's results on other arguments, all in the reference's names and layout."""
        return self.results(self.candidate.rerun(to_candidate(self.inputs, inputs)).outputs)

    def otherwise(self, *, widened: bool = False, plain: bool = False, gradients: bool = False) -> Record:
        """The candidate's module computed under a change; see `parity.backends.jax_rewrite`."""
        from parity.backends.jax_rewrite import otherwise
        from parity.backends.jax_trace import JaxRun

        run = self.candidate.rerun
        assert isinstance(run, JaxRun)
        record = otherwise(
            run,
            to_candidate(self.inputs, self.reference.inputs),
            to_candidate(self.outputs, self.reference.output_cotangents) if gradients else None,
            widened=widened,
            plain=plain,
        )
        return Record(self.results(record.outputs), self.arguments(record.input_grads), record.param_grads)

    def narrow(self) -> frozenset[tuple[str, str]]:
        """The narrower formats that the candidate's module uses, and for what; see `parity.backends.jax_rewrite`."""
        from parity.backends.jax_rewrite import narrow_values
        from parity.backends.jax_trace import JaxRun

        run = self.candidate.rerun
        assert isinstance(run, JaxRun)
        return narrow_values(run, to_candidate(self.inputs, self.reference.inputs))

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
    names = session.parameter_names()
    first = {alias: name for name, aliases in names.items() for alias in aliases}
    pairs = align(reference, candidate, steps, first)
    root = _root(pairs[0], session.layouts, precision)
    by_order = {pairs[0].reference.order: root}
    for pair in pairs[1:]:
        twin = _matched(pair, reference, precision)
        if twin is not None:
            by_order[pair.reference.order] = twin
    settled = {order: _settled(twin, by_order) for order, twin in by_order.items()}
    for order, twin in settled.items():
        if order:
            _enclosing(reference, twin.reference, settled).children.append(twin)
    return settled[root.reference.order]


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


def _matched(pair: Aligned, trace: Trace, precision: Precision) -> Twin | None:
    """The pair with its arrays matched; None where nothing corresponds."""
    a, b = pair.reference, pair.candidate
    inputs = match(a.inputs, b.inputs, kinds="fciu")
    ways = [way for _, way in inputs.values()]
    moved = not all(way.plain for way in ways)
    outputs = match(a.outputs, b.outputs, reordered=moved, kinds="fciub", like=ways)
    given = any(value.dtype.kind not in "biu" for value in b.inputs.values())
    fitting = not given or any(b.inputs[leaf].dtype.kind not in "biu" for leaf in inputs)
    if fitting and outputs:
        return Twin(a, b, inputs, outputs, precision)
    alike = _misfit(a, b, inputs)
    if fitting and b.outputs and (alike or pair.by_weights):
        return Twin(a, b, inputs, alike, precision, fit="misfit")
    if outputs:
        return Twin(a, b, {}, outputs, precision, fit="half", fed=lambda: _fed(b, trace))
    return None


def _misfit(a: ModuleCall, b: ModuleCall, inputs: Matched) -> Matched:
    """Results of the same names, with the axis order of the arguments: all that can be said where sizes differ."""
    orders = {len(way.axes): way.axes for _, way in inputs.values()}
    found: dict[str, tuple[str, Placement]] = {}
    for leaf, value in b.outputs.items():
        axes = orders.get(value.ndim, tuple(range(value.ndim)))
        source = tuple(value.shape[axis] for axis in np.argsort(axes))
        if leaf in a.outputs:
            found[leaf] = (leaf, Placement(source, axes, value.shape))
    return found


def _numbers(twin: Twin) -> dict[str, str]:
    """Leaves of whole numbers of the candidate and of the reference, where both sides are given different ones.

    A leaf is that of its name; one that is left on each side is the same.
    """
    ours, theirs = dict(twin.reference.scalars), dict(twin.candidate.scalars)
    for leaf, (other, _) in twin.inputs.items():
        ours.pop(other, None)
        theirs.pop(leaf, None)
    pairs = {leaf: leaf for leaf in theirs if leaf in ours}
    left = [leaf for leaf in theirs if leaf not in pairs], [leaf for leaf in ours if leaf not in pairs]
    if len(left[0]) == len(left[1]) == 1:
        pairs[left[0][0]] = left[1][0]
    return {leaf: other for leaf, other in pairs.items() if ours[other] != theirs[leaf]}


def _fed(call: ModuleCall, trace: Trace) -> bool:
    """Whether each floating argument of a candidate's call holds the values of some array of the reference."""
    arrays = [array for other in trace.calls for array in (*other.inputs.values(), *other.outputs.values())]

    def known(value: np.ndarray) -> bool:
        ways = ((array, place(array, value)) for array in arrays if array.size == value.size)
        return any(way is not None and distance(a, way.to_reference(value)) <= MODULE_BOUND for a, way in ways)

    return all(known(value) for value in call.inputs.values() if value.dtype.kind not in "biu")


def _settled(twin: Twin, found: Mapping[int, Twin]) -> Twin:
    """The pair, its features in the reference's order if that is what the consumer of its results expects.

    Features in another order are the candidate's own affair where the next kernel follows them, and a mistake where it
    does not.
    """
    if all(way.order is None for _, way in twin.outputs.values()):
        return twin
    plain = {leaf: (other, replace(way, order=None)) for leaf, (other, way) in twin.outputs.items()}
    made = [twin.reference.outputs[other] for other, _ in plain.values()]
    for other in found.values():
        consumed = any(np.array_equal(value, m) for value in other.reference.inputs.values() for m in made)
        if other.reference.order > twin.reference.order and consumed and other.fit == "whole":
            return replace(twin, outputs=plain) if other.own <= MODULE_BOUND else twin
    return twin


def _enclosing(trace: Trace, call: ModuleCall, found: Mapping[int, Twin]) -> Twin:
    """The smallest pair around a call."""
    while call.parent is not None:
        call = trace.calls[call.parent]
        if call.order in found:
            return found[call.order]
    return found[trace.root.order]
