"""Second derivatives agree: Hessian-vector products, and the Jacobian in forward mode against reverse mode."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from parity.checks.base import Check, judged
from parity.comparison import Comparison
from parity.formats import Precision, is_floating
from parity.judgement import Finding, Judgement, Note, settled
from parity.pair import Mode
from parity.record import Arrays, Record
from parity.tolerance import Override, bound
from parity.trial import REFUSALS, ReferenceRefuses, Trial


@dataclass(frozen=True)
class Curved(Trial):
    """A trial whose records hold directional derivatives: of the outputs, and of the gradients in place of these."""

    def run_reference(self, mode: Mode, precision: Precision, *, gradients: bool = True) -> Record:
        """Runs the torch side; see `parity.backends.curvature`."""
        from parity.backends.curvature import curvature_of_reference

        along = self.direction()
        train, seed = mode == "train", self.example.seed
        try:
            return curvature_of_reference(
                *(self.session.reference, self.state, self.inputs, along), precision=precision, train=train, seed=seed
            )
        except REFUSALS as refusal:
            raise ReferenceRefuses(f"{type(refusal).__name__}: {refusal}") from refusal

    def run_candidate(self, mode: Mode, *, gradients: bool = True) -> Record:
        """Runs the JAX side; see `parity.backends.curvature`."""
        from parity.backends.curvature import curvature_of_candidate

        along, session = self.direction(), self.session
        assert session.plan is not None
        zeros = {name: np.zeros_like(value) for name, value in self.state.items()}
        by_path = session.plan.apply({**zeros, **{name: along[name] for name in zeros if name in along}})
        rest = {path: np.zeros_like(value) for path, value in session.candidate.state().items() if path not in by_path}
        by_input = {
            f"input[{i}]": value
            for i, value in enumerate(
                session.laid_out(tuple(along.get(f"input[{i}]", x) for i, x in enumerate(self.inputs)))
            )
        }
        return curvature_of_candidate(
            *(
                session.candidate,
                session.carried(self.state),
                session.laid_out(self.inputs),
                ({**rest, **by_path}, by_input),
            ),
            precision=self.precision,
            train=mode == "train",
            cotangents=self.weights(mode),
            seed=self.example.seed,
            draws=self.raw_reference(mode).draws,
        )

    def direction(self) -> Arrays:
        """Standard normal relative to each array's size, the same for all names of a shared parameter."""
        first = {alias: name for name, found in self.session.reference.parameter_names().items() for alias in found}
        along = {name: _drawn(first[name], self.state[name], self.example.seed) for name in first if name in self.state}
        floating = {f"input[{i}]": x for i, x in enumerate(self.inputs) if is_floating(x)}
        return along | {name: _drawn(name, value, self.example.seed) for name, value in floating.items()}


def _drawn(name: str, value: np.ndarray, seed: int) -> np.ndarray:
    """A direction as large as the array it changes."""
    size = float(np.sqrt(np.mean(np.square(value)))) if value.size else 0.0
    return (size or 1.0) * np.random.default_rng([seed, 4, zlib.crc32(name.encode())]).standard_normal(value.shape)


def run(trial: Trial, overrides: tuple[Override, ...]) -> Iterator[Finding]:
    """Judges all directional derivatives in the last mode that the pair declares."""
    mode = trial.session.modes[-1]
    curved = Curved(trial.session, trial.example, trial.precision, trial.given)
    try:
        curved.reference(mode)
    except ReferenceRefuses as refusal:
        yield Note(f"second_order: the reference has no second derivative: {refusal}")
        return
    try:
        curved.raw_candidate(mode)
    except TypeError as refusal:
        yield Note(f"second_order: the candidate has no forward mode: {str(refusal).splitlines()[0]}")
        return
    yield from judged(curved, "second_order", mode, derivatives, overrides)
    yield _forward_against_reverse(trial, curved, mode, overrides)


def derivatives(record: Record) -> Arrays:
    """What the check compares."""
    return {
        **{f"tangent of {name}": value for name, value in record.outputs.items() if value.dtype.kind not in "biu"},
        **{f"Hessian product at {name}": value for name, value in {**record.input_grads, **record.param_grads}.items()},
    }


def _forward_against_reverse(trial: Trial, curved: Curved, mode: Mode, overrides: tuple[Override, ...]) -> Judgement:
    """The candidate against itself: ⟨w, J v⟩ in forward mode, ⟨Jᵀ w, v⟩ in reverse mode."""
    weights, tangents, record = trial.weights(mode), curved.raw_candidate(mode).outputs, trial.candidate(mode)
    along = curved.direction()
    forward = [np.vdot(weights[n], v.astype(np.float64)) for n, v in tangents.items() if n in weights]
    grads = {**record.input_grads, **record.param_grads}
    reverse = [np.vdot(g.astype(np.float64), along[name]) for name, g in grads.items() if name in along]
    sizes = [np.linalg.norm(g) * np.linalg.norm(along[name]) for name, g in grads.items() if name in along]
    scale = max(
        [*sizes, *(np.linalg.norm(weights[n]) * np.linalg.norm(v) for n, v in tangents.items() if n in weights)],
        default=0.0,
    )
    expected, got = float(np.sum(reverse)), float(np.sum(forward))
    error = abs(got - expected) / scale if scale else abs(got - expected)
    comparison = Comparison("forward mode against reverse mode", float(error), 0.0, 0.0, (), expected, got)
    limit = bound("second_order", trial.precision, reference_error=0.0, overrides=overrides, name=comparison.name)
    return settled("second_order", mode, comparison, limit, trial.precision, lambda: "bug")


SECOND_ORDER = Check(
    "second_order",
    "stopped second derivatives, gradient penalties, custom rules that are right to first order only",
    run,
    needs_plan=True,
    once=True,
)
