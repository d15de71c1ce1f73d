"""One pair of training runs: what each side holds after every step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from parity.comparison import scale_of
from parity.cotangents import cotangents
from parity.formats import UNIT_ROUNDOFF, Precision, is_floating
from parity.optimizers import Optimizers
from parity.pair import Mode
from parity.record import Arrays
from parity.trial import Trial

if TYPE_CHECKING:
    from parity.backends.training import OptaxDescent, OptaxRule

STEPS = 20

RELATIVE_STEP = 2e-3
"""Length of the reference's first step, relative to its parameters: small enough to stay where training is smooth."""


@dataclass(frozen=True)
class Moment:
    """Everything after one step, by the candidate's paths; `memory` by torch names, with Optax's names of its parts."""

    parameters: Arrays
    buffers: Arrays
    memory: Arrays


@dataclass(frozen=True)
class Run:
    """One side's training.

    Attributes:
      trial: whose weights, inputs and cotangents.
      mode: `eval` or `train`.
      optimizers: both optimizers.
      rate: learning rate.
      precision: in which the reference computes its gradients; its optimizer works in float64.
      roundings: seed of roundings that the reference's gradients get, at every operation and in the end one of each
        leaf's scale, since elements are sums of larger ones; None for none.
    """

    trial: Trial
    mode: Mode
    optimizers: Optimizers
    rate: float
    precision: Precision = "float64"
    roundings: int | None = None

    @classmethod
    def of(cls, trial: Trial, mode: Mode, optimizers: Optimizers) -> Run:
        """Training at the learning rate with which the reference's first step has the wanted length."""
        from parity.backends.training import TorchDescent

        names = trial.session.parameter_names()
        before = {name: trial.state[name] for name in names}
        after = TorchDescent(optimizers, before, 1.0).step(trial.reference(mode).param_grads)
        moved = np.sqrt(sum(float(np.sum(np.square(after[n] - before[n]))) for n in names))
        size = np.sqrt(sum(float(np.sum(np.square(before[n]))) for n in names))
        rate = RELATIVE_STEP * size / moved if moved > 0 and np.isfinite(moved) else RELATIVE_STEP
        return cls(trial, mode, optimizers, rate)

    @cached_property
    def reference(self) -> tuple[list[Moment], list[Arrays]]:
        """The torch side's moments, and its gradients."""
        from parity.backends.torch_roundings import Roundings
        from parity.backends.training import TorchDescent

        session, state = self.trial.session, dict(self.trial.state)
        names = session.parameter_names()
        descent = TorchDescent(self.optimizers, {name: state[name] for name in names}, self.rate)
        weights = cotangents(self.trial.reference(self.mode).outputs, self.trial.example.seed)
        moments, gradients = list[Moment](), list[Arrays]()
        for step in range(STEPS):
            with nullcontext() if self.roundings is None else Roundings(self.roundings + step):
                record = session.reference.run(
                    *(state, self.trial.inputs),
                    precision=self.precision,
                    train=self.mode == "train",
                    cotangents=weights,
                    seed=self.trial.example.seed + step,
                )
            gradient = self._jittered(_widened(record.param_grads), step)
            after = descent.step(gradient)
            state |= _widened(record.buffers)
            state |= {alias: after[name] for name, aliases in names.items() for alias in aliases}
            gradients.append(gradient)
            moments.append(self.moment(state, _flat(descent.state())))
        return moments, gradients

    def _jittered(self, gradient: Arrays, step: int) -> Arrays:
        """The reference's gradients, each element up or down by one unit in the last place of the leaf's scale."""
        if self.roundings is None:
            return gradient
        rng = np.random.default_rng([self.roundings, step])
        unit = 2 * UNIT_ROUNDOFF["float64"]
        return {n: g + unit * scale_of(g) * rng.choice((-1.0, 1.0), g.shape) for n, g in gradient.items()}

    def alone(self) -> Iterator[tuple[Arrays, Arrays]]:
        """The candidate's optimizer on the reference's gradients, where a leaf has one source.

        Yields:
          Updates since the start after every step, by the candidate's paths: of the reference, of the candidate.
        """
        session, start = self.trial.session, self.trial.state
        assert session.plan is not None
        single = {path for step in session.plan.steps if len(step.sources) == 1 for path in step.targets}
        moments, gradients = self.reference
        aliases = session.parameter_names()
        paths = sorted(self.trained() & single)
        descent = self.descent({path: self.start.parameters[path] for path in paths})
        zeros = {name: np.zeros_like(value) for name, value in start.items()}
        for moment, gradient in zip(moments, gradients, strict=True):
            named = {alias: gradient[name] for name in gradient for alias in aliases.get(name, (name,))}
            given = session.plan.apply({**zeros, **named})
            got = descent.step({path: given[path] for path in paths})
            yield self.updates({path: moment.parameters[path] for path in paths}), self.updates(got)

    def repeated(self) -> Iterator[Arrays]:
        """Updates since the start after each step that the reference's optimizer takes once more."""
        from parity.backends.training import TorchDescent

        state, names = dict(self.trial.state), self.trial.session.parameter_names()
        descent = TorchDescent(self.optimizers, {name: state[name] for name in names}, self.rate)
        for gradient in self.reference[1]:
            after = descent.step(gradient)
            state |= {alias: after[name] for name, aliases in names.items() for alias in aliases}
            yield self.updates(self.moment(state, {}).parameters)

    def updates(self, parameters: Arrays) -> Arrays:
        """What parameters, by the candidate's paths, have moved by since the start."""
        return {path: value - self.start.parameters[path] for path, value in parameters.items()}

    def slack(self, index: int) -> dict[str, float]:
        """What rounding the ends of each of the reference's updates may make of it, relative, after a step.

        Each side rounds a parameter at most twice a step, when it decays and when it moves.
        """
        moment, before = self.reference[0][index], self.start.parameters
        most = 4 * (index + 1) * UNIT_ROUNDOFF["float64"]
        return {
            path: most * max(scale_of(before[path]), scale_of(moment.parameters[path])) / moved if moved else 0.0
            for path, update in self.updates(moment.parameters).items()
            for moved in [scale_of(update)]
        }

    def candidate(self) -> Iterator[Moment]:
        """The JAX side's moments, from the same weights."""
        session = self.trial.session
        leaves = dict(session.carried(self.trial.state))
        trained = {path: leaves[path] for path in self.trained()}
        descent = self.descent(trained)
        for step in range(STEPS):
            record = session.candidate.run(
                *(leaves, session.laid_out(self.trial.inputs)),
                precision="float64",
                train=self.mode == "train",
                cotangents=self.trial.weights(self.mode),
                seed=self.trial.example.seed + step,
                draws=self.trial.reference(self.mode).draws,
            )
            leaves |= record.buffers
            leaves |= descent.step(record.param_grads)
            memory = {
                f"{name} of {leaf}": value
                for name, kept in descent.state().items()
                for leaf, value in session.pulled_back(kept, self.trial.state).items()
            }
            buffers = {path: leaves[path] for path in session.filled() - session.candidate.parameters()}
            yield Moment({path: leaves[path] for path in trained}, buffers, memory)

    def descent(self, parameters: Arrays) -> OptaxDescent:
        """Parameters under the candidate's optimizer."""
        from parity.backends.training import OptaxDescent

        return OptaxDescent(self._rule, parameters)

    @cached_property
    def _rule(self) -> OptaxRule:
        from parity.backends.training import OptaxRule

        return OptaxRule(self.optimizers, self.rate)

    def trained(self) -> frozenset[str]:
        """Leaves of the candidate that a trainable parameter of the reference goes into."""
        session = self.trial.session
        assert session.plan is not None
        names = {alias for aliases in session.parameter_names().values() for alias in aliases}
        paths = {path for step in session.plan.steps if names & set(step.sources) for path in step.targets}
        return frozenset(paths) & session.candidate.parameters()

    @cached_property
    def start(self) -> Moment:
        """What both sides begin with."""
        return self.moment(self.trial.state, {})

    def moment(self, state: Arrays, memory: Arrays) -> Moment:
        """The state of the reference as the candidate would have it."""
        assert self.trial.session.plan is not None
        carried = self.trial.session.plan.apply(state)
        parameters = {path: carried[path] for path in self.trained()}
        return Moment(parameters, self.trial.session.buffers_of(state), memory)


def _flat(memory: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {f"{part} of {name}": value for part, kept in memory.items() for name, value in kept.items()}


def _widened(arrays: Arrays) -> Arrays:
    """Floating arrays in float64."""
    return {name: value.astype(np.float64) if is_floating(value) else value for name, value in arrays.items()}
