"""Second derivatives agree: Hessian-vector products, and the Jacobian in forward mode against reverse mode."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from parity._errors import ReferenceRefuses
from parity.checks.base import Check, judged
from parity.comparison import Comparison
from parity.cotangents import cotangents
from parity.formats import Precision, is_floating
from parity.judgement import Finding, Note, Verdict, settled
from parity.pair import Mode
from parity.record import Arrays, Record
from parity.tolerance import Override, bound
from parity.trial import REFUSALS, Trial
from parity.verdicts import explained_by_format

AGREEMENT = "forward mode against reverse mode"

DIFFERENCE = 1e-6
"""Step of central differences in float64, relative to each array's size: truncation and rounding are near 1e-9 each."""

NOT_ITS_OWN = 1e-2
"""Relative distance from the differences at which a derivative is not theirs, whatever their own errors."""


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
        first = {alias: name for name, found in self.session.parameter_names().items() for alias in found}
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
    except REFUSALS as refusal:
        why = f"{type(refusal).__name__}: {str(refusal).splitlines()[0]}"
        yield Note(f"second_order: the candidate has no second derivative: {why}")
        return
    limit = bound("second_order", trial.precision, overrides=overrides, name=AGREEMENT)
    if not _modes(trial, curved.reference(mode), trial.reference(mode), mode).error <= limit.limit:
        yield Note("second_order: the reference's own forward and reverse mode disagree, so that nothing is judged")
        return
    judgements = list(judged(curved, "second_order", mode, derivatives, overrides))
    failing = frozenset(judgement.comparison.name for judgement in judgements if not judgement.ok)
    wrong = _wrong_of_itself(curved, trial, mode, failing) if failing else failing
    for name in sorted(wrong):
        yield Note(f"second_order: not judged: the reference's {name} is not how its own numbers change")
    yield from (judgement for judgement in judgements if judgement.comparison.name not in wrong)
    if wrong:
        return
    own = _modes(trial, curved.candidate(mode), trial.candidate(mode), mode)

    def explain() -> Verdict:
        return "precision mode" if explained_by_format(trial, mode, own.error) else "bug"

    yield settled("second_order", mode, own, limit, trial.precision, explain)


def derivatives(record: Record) -> Arrays:
    """What the check compares."""
    return {
        **{f"tangent of {name}": value for name, value in record.outputs.items() if value.dtype.kind not in "biu"},
        **{f"Hessian product at {name}": value for name, value in {**record.input_grads, **record.param_grads}.items()},
    }


def _wrong_of_itself(curved: Curved, trial: Trial, mode: Mode, names: frozenset[str]) -> frozenset[str]:
    """Which derivatives of the reference are not how its own outputs and gradient change, as differences measure it.

    A gradient that is turned round or passed straight through a rounding has no second derivative: what automatic
    differentiation gives depends on the order of its modes. And a second derivative may be wrong in the library, as
    that of `torch._weight_norm` by the direction is (torch 2.13).
    """
    along = curved.direction()
    ahead, behind = (derivatives(_moved(trial, mode, along, sign * DIFFERENCE)) for sign in (1, -1))
    found = derivatives(curved.reference(mode))
    return frozenset(
        name
        for name in names & found.keys()
        if _distance(found[name], (ahead[name] - behind[name]) / (2 * DIFFERENCE)) > NOT_ITS_OWN
    )


def _moved(trial: Trial, mode: Mode, along: Arrays, step: float) -> Record:
    """The reference's own run in float64, a step along a direction."""
    state = {n: v + step * along[n] if n in along and is_floating(v) else v for n, v in trial.state.items()}
    inputs = tuple(x + step * along[f"input[{i}]"] if f"input[{i}]" in along else x for i, x in enumerate(trial.inputs))
    return replace(trial, given=(state, inputs), found={}).run_reference(mode, "float64")


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Relative distance of two arrays, inf where they cannot be compared."""
    if one.shape != other.shape:
        return np.inf
    return _norm(one - other) / (_norm(other) or 1.0)


def _modes(trial: Trial, curved: Record, flat: Record, mode: Mode) -> Comparison:
    """One side against itself: ⟨w, J v⟩ in forward mode, ⟨Jᵀ w, v⟩ in reverse mode."""
    weights = cotangents(trial.reference(mode).outputs, trial.example.seed)
    along = Curved(trial.session, trial.example, trial.precision, trial.given).direction()
    forward = [(weights[name], value) for name, value in curved.outputs.items() if name in weights]
    gradients = {**flat.input_grads, **flat.param_grads}
    reverse = [(value, along[name]) for name, value in gradients.items() if name in along]
    scale = max((_norm(one) * _norm(other) for one, other in (*forward, *reverse)), default=0.0) or 1.0
    expected, got = (float(sum(_product(*pair) for pair in pairs)) for pairs in (reverse, forward))
    return Comparison(AGREEMENT, abs(got - expected) / scale, 0.0, 0.0, (), expected, got)


def _norm(array: np.ndarray) -> float:
    return float(np.linalg.norm(array.astype(np.float64)))


def _product(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.vdot(one.astype(np.float64), other.astype(np.float64)))


SECOND_ORDER = Check(
    "second_order",
    "stopped second derivatives, gradient penalties, custom rules that are right to first order only",
    run,
    needs_plan=True,
    once=True,
)
