"""Where the sides part: every module on the reference's own input, so that making an error differs from passing it on.

One traced run per side, then one replay: each pair of modules that is not already clean is run again alone, the
candidate's on what the reference's was given (and, for gradients, on the cotangent it was given). The first pair, in
the reference's order, that is wrong although all pairs inside it are right introduces the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

import weight_bridge
from parity.formats import UNIT_ROUNDOFF, Precision
from parity.pair import Mode
from parity.record import Arrays
from parity.report import Divergence, ModuleError
from parity.tolerance import HIDDEN, MODULE_BOUND, REFERENCE_FACTOR, ROUNDINGS, TRIFLE
from parity.trace import Trace
from parity.twins import Twin, twins, worst

if TYPE_CHECKING:
    from parity.trial import Trial

MOST_UNROLLED = 1000
"""Calls of modules up to which loops of the candidate are run step by step; 20 to 100 a second are."""


@dataclass(frozen=True)
class Located:
    """The module that a failure comes from, and what both sides do there on the same input.

    Attributes:
      divergence: for the report.
      twin: the two calls.
      expected: what the reference does: outputs, gradients or buffers, by the reference's names.
      observed: what the candidate does.
      reference: everything that was traced on the torch side.
      candidate: everything that was traced on the JAX side.
      depth: error of every module that was judged, in the reference's order.
      mode: of the run.
      precision: of the candidate's run.
    """

    divergence: Divergence
    twin: Twin
    expected: Arrays
    observed: Arrays
    reference: Trace
    candidate: Trace
    depth: tuple[ModuleError, ...] = ()
    mode: Mode = "eval"
    precision: Precision = "float64"


@dataclass(frozen=True)
class Traced:
    """Both sides of a trial, traced and aligned.

    Attributes:
      trial: what was run.
      mode: `eval` or `train`.
      precision: of the candidate's run; the reference's is float64.
      reference: torch side.
      candidate: JAX side.
      root: the models themselves, with all pairs inside.
      rough: the reference at the candidate's precision, whose own error is the yardstick; None in float64.
    """

    trial: Trial
    mode: Mode
    precision: Precision
    reference: Trace
    candidate: Trace
    root: Twin
    rough: Trace | None = field(default=None)


def localise(trial: Trial, check: str, mode: Mode) -> Located:
    """Finds the module that makes a failing check fail.

    Args:
      trial: the failing example.
      check: `forward`, `input_grad`, `param_grad` or `buffers`.
      mode: in which it fails.

    Returns:
      The module, the smallest pair around it, or the whole model where no part of it can be told apart.
    """
    traced = trace(trial, mode, "float64")
    located = _located(traced, check)
    if trial.precision != "float64" and located.divergence.error <= MODULE_BOUND:
        traced = trace(trial, mode, trial.precision)  # right in float64: a matter of the lower precision
        located = _located(traced, check)
    return located


def trace(trial: Trial, mode: Mode, precision: Precision) -> Traced:
    """One traced run of each side.

    Args:
      trial: what to run.
      mode: `eval` or `train`.
      precision: of the candidate; the reference runs in float64, and here once more for its own error.

    Returns:
      Both traces, aligned.
    """
    from parity.backends.tracing import trace_candidate, trace_reference

    session, train, seed = trial.session, mode == "train", trial.example.seed
    reference = trace_reference(
        session.reference, trial.state, trial.inputs, precision="float64", train=train, seed=seed
    )
    candidate = trace_candidate(
        session.candidate,
        session.carried(trial.state) if trial.leaves is None else trial.leaves,
        session.laid_out(trial.inputs),
        precision=precision,
        train=train,
        seed=seed,
        draws=trial.reference(mode).draws,
        unroll=len(reference.calls) <= MOST_UNROLLED,
    )
    rough = None
    if precision != "float64":
        rough = trace_reference(
            session.reference, trial.state, trial.inputs, precision=precision, train=train, seed=seed
        )
    root = twins(reference, candidate, session, precision)
    return Traced(trial, mode, precision, reference, candidate, root, rough)


def _located(traced: Traced, check: str) -> Located:
    """By the kind of check."""
    return {"forward": _forward, "buffers": _buffers}.get(check, _backward)(traced, check)


def _forward(traced: Traced, check: str) -> Located:
    """By the outputs of every module on the reference's input."""

    def own(twin: Twin) -> float:
        return 0.0 if twin.own > MODULE_BOUND and _contradicted(twin, traced.root) else twin.own

    def limit(twin: Twin) -> float:
        return _limit(traced, twin) if twin.fit == "whole" else MODULE_BOUND

    twin = _deepest(traced.root, own, limit, _hidden(traced))
    wrong = twin.own > _limit(traced, twin)
    depth = tuple(
        ModuleError(t.reference.name, t.candidate.name, t.own, t.carried)
        for t in traced.root.all()
        if (not t.children or t is twin or t is traced.root) and np.isfinite(t.own)
    )
    divergence = Divergence(check, twin.reference.name, twin.candidate.name, wrong, twin.own)
    if twin.fit == "half":  # what it does can only be recomputed together with what the sides divide differently
        twin = _around(traced.root, twin)
    return _found(traced, divergence, twin, twin.expected, twin.did, depth)


def _backward(traced: Traced, check: str) -> Located:
    """By the gradients of every module for the reference's input and cotangent."""
    found: dict[int, tuple[Arrays, Arrays, float]] = {}

    def compared(twin: Twin) -> tuple[Arrays, Arrays, float]:
        order = twin.reference.order
        if twin.fit == "misfit" or twin.candidate.differentiated:  # no cotangent, or not all of it, can be handed to it
            return {}, {}, 0.0
        if order not in found:
            expected, observed = _gradients(traced, twin)
            found[order] = expected, observed, worst(expected, observed, traced.precision)
        return found[order]

    twin = _deepest(traced.root, lambda t: compared(t)[2], lambda t: _limit(traced, t), _hidden(traced))
    expected, observed, error = compared(twin)
    depth = tuple(
        ModuleError(t.reference.name, t.candidate.name, found[t.reference.order][2], t.carried)
        for t in traced.root.all()
        if t.reference.order in found
    )
    wrong = error > _limit(traced, twin)
    divergence = Divergence(check, twin.reference.name, twin.candidate.name, wrong, error)
    return _found(traced, divergence, twin, expected, observed, depth)


def _buffers(traced: Traced, check: str) -> Located:
    """By the buffers that differ after the call: the module that owns the first of them, or what it got them from."""
    trial = traced.trial
    truth, record = trial.oracle(traced.mode).buffers, trial.candidate(traced.mode).buffers
    plan = trial.session.plan
    assert plan is not None

    def named(leaves: Arrays, paths: Iterable[str]) -> dict[str, np.ndarray]:
        return _named(plan, _some(leaves, *paths))

    def wrong(leaves: Arrays) -> list[str]:
        return [p for p in truth if worst({p: truth[p]}, _some(leaves, p), traced.precision) > MODULE_BOUND]

    differing = named(truth, wrong(record))

    def owned(twin: Twin) -> float:
        return float(any(name.startswith(f"{twin.reference.name}.") for name in differing))

    twin = _deepest(traced.root, owned, lambda t: 0.0)
    filled = {**record, **_refilled(traced, twin)}
    still = wrong(filled)
    # What the module keeps right is evidence too: a cause must leave it as it is.
    paths = list(truth) if owned(twin) else still
    own = f"{twin.reference.name}." if owned(twin) else ""
    held, seen = ({n: v for n, v in named(side, paths).items() if n.startswith(own)} for side in (truth, filled))
    error = worst(held, seen, traced.precision)
    divergence = Divergence(check, twin.reference.name, twin.candidate.name, bool(differing), error)
    owner = _found(traced, divergence, twin, held, seen, ())
    if not differing or any(name.startswith(own) for name in named(truth, still)):
        return owner
    made = _forward(traced, "forward")  # the module fills its buffers rightly from the reference's own input
    return made if made.divergence.introduced else owner


def _some(leaves: Arrays, *paths: str) -> dict[str, np.ndarray]:
    return {path: leaves[path] for path in paths if path in leaves}


def _refilled(traced: Traced, twin: Twin) -> Arrays:
    """The candidate's buffers of a module, after its one call on the reference's own input."""
    calls = sum(call.name == twin.candidate.name for call in traced.candidate.calls)
    if twin is traced.root or twin.fit != "whole" or calls != 1:
        return {}
    return twin.forced.buffers


def _found(
    traced: Traced,
    divergence: Divergence,
    twin: Twin,
    expected: Arrays,
    observed: Arrays,
    depth: tuple[ModuleError, ...],
) -> Located:
    traces = traced.reference, traced.candidate
    return Located(divergence, twin, expected, observed, *traces, depth, traced.mode, traced.precision)


def _named(plan: weight_bridge.Plan, leaves: Arrays) -> dict[str, np.ndarray]:
    """Leaves of the candidate under the reference's names, where a step of the plan gives them alone."""
    named: dict[str, np.ndarray] = {}
    for step in plan.steps:
        if all(path in leaves for path in step.targets):
            values = step.inverse(tuple(np.asarray(leaves[path]) for path in step.targets))
            named |= dict(zip(step.sources, values, strict=True))
    return named


def _deepest(twin: Twin, error: Callable[[Twin], float], limit: Callable[[Twin], float], hidden: float = 0.0) -> Twin:
    """The first wrong pair, in the reference's order, that has no wrong pair inside and is no mere trifle.

    Where one module errs a thousand times as much as another, the other is a rounding that the candidate makes on
    purpose, such as a layer that computes in float32; and so is what errs by no more than such a rounding, beside one
    that errs by more.
    """

    def innermost(outer: Twin) -> list[Twin]:
        least = hidden if error(outer) > hidden else 0.0
        wrong = [child for child in outer.children if error(child) > max(limit(child), least)]
        whole = [found for child in wrong if child.fit == "whole" for found in innermost(child)]
        return whole or [child for child in wrong if child.fit != "whole"][:1] or [outer]

    found = innermost(twin)
    largest = max(error(one) for one in found)
    return next(one for one in found if error(one) >= TRIFLE * largest)


def _hidden(traced: Traced) -> float:
    """The largest error of a narrower format that the candidate was found to use inside a float64 run; 0 for none."""
    if traced.precision != "float64":
        return 0.0
    return HIDDEN.get(traced.trial.audits(traced.mode, "float64")[1].coarsest or "", 0.0)


def _around(outer: Twin, twin: Twin) -> Twin:
    """The pair directly around a pair."""
    return next(
        (
            found
            for child in outer.children
            if twin in child.all() and child != twin
            for found in [_around(child, twin)]
        ),
        outer,
    )


def _contradicted(twin: Twin, root: Twin) -> bool:
    """Whether a right consumer of the reference's result shows that this pair is none: the work was done elsewhere."""
    made = list(twin.reference.outputs.values())
    return twin.received <= MODULE_BOUND and any(
        other.reference.order > twin.reference.order
        and other.received <= MODULE_BOUND
        and any(value is made or np.array_equal(value, m) for value in other.reference.inputs.values() for m in made)
        for other in root.all()
    )


def _gradients(traced: Traced, twin: Twin) -> tuple[Arrays, Arrays]:
    """Gradients by the inputs and parameters of a pair, of the reference and of the candidate."""
    if twin is traced.root:
        record, truth = traced.trial.candidate(traced.mode), traced.trial.oracle(traced.mode)
        return {**truth.input_grads, **truth.param_grads}, {**record.input_grads, **record.param_grads}
    cotangents = twin.reference.input_cotangents
    expected = {other: cotangents[other] for other, _ in twin.inputs.values() if other in cotangents}
    observed = {name: value for name, value in twin.arguments(twin.pulled.input_grads).items() if name in expected}
    names, grads = _parameter_gradients(traced, twin)
    return {**expected, **names}, {**observed, **grads}


def _parameter_gradients(traced: Traced, twin: Twin) -> tuple[Arrays, Arrays]:
    """Gradients by the parameters that only this pair uses, over all its calls."""
    session, name = traced.trial.session, twin.reference.name
    calls = [other for other in traced.root.all() if other.reference.name == name]
    called = sum(call.name == name for call in traced.reference.calls)
    if session.plan is None or len(calls) != called:
        return {}, {}
    total: dict[str, np.ndarray] = {}
    for call in calls:
        for path, value in call.pulled.param_grads.items():
            total[path] = total[path] + value if path in total else value
    leaves = session.carried(traced.trial.state)
    shapes = {path: np.shape(leaves[path]) for path in session.filled()}
    # In a loop over stacked layers a call has its own layer's share alone.
    total = {path: grad for path, grad in total.items() if grad.shape == shapes.get(path)}
    own = {n for n, aliases in session.parameter_names().items() if len(aliases) == 1}
    back = session.plan.pullback(total, traced.trial.state)
    observed = {n: value for n, value in back.items() if n in own and n.startswith(f"{name}.")}
    return {n: traced.reference.param_grads[n] for n in observed}, observed


def _limit(traced: Traced, twin: Twin) -> float:
    """The largest error of a right module."""
    if traced.rough is None:
        return MODULE_BOUND
    call = traced.rough.calls[twin.reference.order]
    record = call.rerun(twin.reference.inputs)
    own = worst(twin.expected, {name: record.outputs[name] for name in twin.expected}, traced.precision)
    return REFERENCE_FACTOR * own + ROUNDINGS.get("forward", 8) * UNIT_ROUNDOFF[traced.precision]
