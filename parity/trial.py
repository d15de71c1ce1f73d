"""One example on both sides; every run happens once, when a check first asks for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np

from parity._errors import ParityError, ReferenceRefuses, StructureMismatch
from parity.audit import Audit
from parity.cotangents import cotangents
from parity.formats import Precision, is_floating, rounded
from parity.layout import forgotten
from parity.pair import Mode
from parity.record import Arrays, Example, Record
from parity.session import Session

Found = TypeVar("Found")

REFUSALS = (ValueError, TypeError, AssertionError, NotImplementedError, IndexError, RuntimeError, ZeroDivisionError)
"""What a model may raise to refuse a configuration or inputs; raised on one side only, it is a divergence."""


@dataclass(frozen=True)
class Trial:
    """One example on both sides.

    Attributes:
      session: both sides.
      example: what they are fed.
      precision: floating format of both sides.
      given: state and inputs in place of those that follow from the example.
      leaves: of the candidate, in place of those that are carried over from the state.
      quiet: warnings of the models are dropped: on values and sizes at the edge they are expected.
      found: runs so far.
    """

    session: Session
    example: Example
    precision: Precision
    given: tuple[Arrays, tuple[np.ndarray, ...]] | None = None
    leaves: Arrays | None = None
    quiet: bool = False
    found: dict[Any, Any] = field(default_factory=dict[Any, Any], repr=False, compare=False)

    @cached_property
    def state(self) -> Arrays:
        """The reference's weights, rounded to what the run can hold."""
        state = self.given[0] if self.given else self.session.state(self.example.seed)
        return {name: rounded(value, self.precision) for name, value in state.items()}

    @cached_property
    def inputs(self) -> tuple[np.ndarray, ...]:
        """The inputs in the reference's layout, rounded likewise."""
        inputs = self.given[1] if self.given else self.example.inputs
        return tuple(rounded(value, self.precision) for value in inputs)

    def reference(self, mode: Mode) -> Record:
        """The torch side at this precision.

        Raises:
          ReferenceRefuses: it raises on this example.
        """
        return self._reference("reference", mode, self.precision)

    def oracle(self, mode: Mode) -> Record:
        """The torch side in float64 on the same rounded weights and inputs: the truth."""
        return self._reference("oracle" if self.precision != "float64" else "reference", mode, "float64")

    def candidate(self, mode: Mode) -> Record:
        """The JAX side, in the reference's names and layout.

        Raises:
          StructureMismatch: it raises where the reference does not.
        """
        raw = self.raw_candidate(mode)
        return self._once(("read back", mode), lambda: self.session.read_back(raw, self.state))

    def raw_reference(self, mode: Mode) -> Record:
        """The torch side's record with its own names of buffers."""
        return self._once(("reference", mode), lambda: self.run_reference(mode, self.precision))

    def raw_candidate(self, mode: Mode) -> Record:
        """The JAX side's record in its own names and layout."""
        return self._once(("candidate", mode), lambda: self.run_candidate(mode))

    def run_reference(self, mode: Mode, precision: Precision, *, gradients: bool = True) -> Record:
        """Runs the torch side.

        Raises:
          ReferenceRefuses: it raises.
        """
        seed, train = self.example.seed, mode == "train"
        run = self.session.reference.run
        try:
            with self._warnings():
                return run(
                    *(self.state, self.inputs),
                    precision=precision,
                    train=train,
                    cotangents=None,
                    seed=seed,
                    gradients=gradients,
                )
        except REFUSALS as refusal:
            raise ReferenceRefuses(f"{type(refusal).__name__}: {refusal}") from refusal

    def run_candidate(self, mode: Mode, *, gradients: bool = True) -> Record:
        """Runs the JAX side.

        Raises:
          StructureMismatch: it raises.
        """
        leaves = self.session.carried(self.state) if self.leaves is None else self.leaves
        reference = self.raw_reference(mode) if gradients else self.forward_reference(mode)
        run = self.session.candidate.run
        try:
            with self._warnings():
                return run(
                    *(leaves, self.session.laid_out(self.inputs)),
                    precision=self.precision,
                    train=mode == "train",
                    cotangents=self.weights(mode) if gradients else None,
                    seed=self.example.seed,
                    draws=reference.draws,
                    gradients=gradients,
                )
        except ParityError:
            raise
        except Exception as refusal:  # libraries have exceptions of their own, as Flax does
            hint = "" if self.quiet else forgotten(self.session.reference.model, self.session.layouts)
            raise StructureMismatch(
                f"only the candidate refuses, in {mode} mode: {type(refusal).__name__}: {refusal}{hint}"
            ) from refusal

    def forward_reference(self, mode: Mode) -> Record:
        """The torch side at this precision without gradients."""
        if ("reference", mode) in self.found:
            return self.raw_reference(mode)
        run = partial(self.run_reference, mode, self.precision, gradients=False)
        return self._once(("reference, forward", mode), run)

    def forward_candidate(self, mode: Mode) -> Record:
        """The JAX side's outputs, in the reference's names and layout, without gradients."""
        if ("candidate", mode) in self.found:
            return self.candidate(mode)
        raw = self._once(("candidate, forward", mode), lambda: self.run_candidate(mode, gradients=False))
        return self.session.read_back(raw, self.state)

    def weights(self, mode: Mode) -> Arrays:
        """Cotangents of the outputs, in the candidate's layout."""
        outputs = self.reference(mode).outputs
        seed, to_candidate = self.example.seed, self.session.layouts.to_candidate
        return {name: to_candidate(name, value) for name, value in cotangents(outputs, seed).items()}

    def successive(self, mode: Mode, calls: int) -> list[Trial]:
        """This trial and those of further calls: each side goes on from its own buffers, on other inputs.

        Args:
          mode: `eval` or `train`.
          calls: how many; the first is this trial.

        Returns:
          One trial per call.
        """
        trials: list[Trial] = [self]
        for index in range(1, calls):
            trials.append(self._once(("again", mode, index), lambda i=index: trials[-1].following(mode, i)))
        return trials

    def following(self, mode: Mode, index: int) -> Trial:
        """The trial of the next call: other inputs, on each side the buffers after this call."""
        state = {**self.state, **self.raw_reference(mode).buffers}
        own = self.session.carried(self.state) if self.leaves is None else self.leaves
        inputs = _halved(self.inputs)
        example = replace(self.example, seed=self.example.seed + index)
        leaves = {**own, **self.raw_candidate(mode).buffers}
        return replace(self, example=example, given=(state, inputs), leaves=leaves, found={})

    def elsewhere(self) -> Trial:
        """Other weights on other inputs: what compiled functions captured of the first ones is stale there."""
        example = replace(self.example, inputs=_halved(self.example.inputs), seed=self.example.seed + 1)
        return Trial(self.session, example, self.precision)

    def fed(self, inputs: tuple[np.ndarray, ...], *, profile: str | None = None) -> Trial:
        """The same weights, modes and cotangents on other inputs; named ones are at the edge, and run quietly."""
        example = replace(self.example, inputs=inputs, profile=profile or self.example.profile)
        return replace(
            self, example=example, given=(self.state, inputs), quiet=self.quiet or profile is not None, found={}
        )

    def at(self, precision: Precision) -> Trial:
        """The same rounded numbers in another format on both sides."""
        given = self.state, self.inputs
        return self._once(("at", precision), lambda: replace(self, precision=precision, given=given, found={}))

    def moved(self, size: float, *, off_zero: bool, seed: int = 0) -> Trial:
        """The same example with every floating input and weight a little elsewhere.

        Args:
          size: relative displacement.
          off_zero: move zeros and small elements too, by as much as the rest of their array, so that exact zeros, ties
            and kinks are left; arrays that are nowhere negative stay so.
          seed: of the displacement.
        """

        def made() -> Trial:
            rng = np.random.default_rng([self.example.seed, 3, seed])
            state = {name: _moved(value, size, off_zero, rng) for name, value in self.state.items()}
            inputs = tuple(_moved(value, size, off_zero, rng) for value in self.inputs)
            return replace(self, given=(state, inputs), leaves=self._moved_leaves(state), found={})

        return self._once(("moved", size, off_zero, seed), made)

    def shaken(self, mode: Mode, seed: int) -> Record:
        """The reference's float64 run with a rounding more at every operation, see `Roundings`."""
        from parity.backends.torch_roundings import Roundings

        def run() -> Record:
            with Roundings(seed):
                return replace(self, found={}).oracle(mode)

        return self._once(("shaken", mode, seed), run)

    def _moved_leaves(self, state: Arrays) -> Arrays | None:
        """The candidate's own leaves, as far from those carried over as they were."""
        if self.leaves is None:
            return None
        before, after = self.session.carried(self.state), self.session.carried(state)
        return {p: v + (after[p] - before[p]) if is_floating(v) else v for p, v in self.leaves.items()}

    def audits(self, mode: Mode, precision: Precision | None = None) -> tuple[Audit, Audit]:
        """What both sides compute in, asked for a precision: of the configuration, not of the example."""
        asked = precision or self.precision
        return self.session.once(("audits", mode, asked), lambda: self._audit(mode, asked))

    def _audit(self, mode: Mode, precision: Precision) -> tuple[Audit, Audit]:
        from parity.backends.auditing import audit_candidate, audit_reference

        session, train, seed = self.session, mode == "train", self.example.seed
        weights, draws = self.weights(mode), self.reference(mode).draws
        leaves, inputs = session.carried(self.state), session.laid_out(self.inputs)
        return (
            audit_reference(session.reference, self.state, self.inputs, precision=precision, train=train, seed=seed),
            audit_candidate(
                session.candidate, leaves, inputs, precision=precision, train=train, cotangents=weights, draws=draws
            ),
        )

    def _warnings(self) -> AbstractContextManager[Any]:
        """Warnings as they are, or none: a model may warn of values and sizes that it was never meant for."""
        return warnings.catch_warnings(action="ignore") if self.quiet else nullcontext()

    def _reference(self, key: str, mode: Mode, precision: Precision) -> Record:
        raw = self._once((key, mode), lambda: self.run_reference(mode, precision))
        buffers = self._once(
            (key, "buffers", mode), lambda: Record({}, buffers=self.session.buffers_of({**self.state, **raw.buffers}))
        )
        return replace(raw, buffers=buffers.buffers)

    def _once(self, key: Any, run: Callable[[], Found]) -> Found:
        if key not in self.found:
            self.found[key] = run()
        return self.found[key]


def _halved(inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Inputs of another call; what is not floating stays."""
    return tuple(value * 0.5 if is_floating(value) else value for value in inputs)


def _moved(value: np.ndarray, size: float, off_zero: bool, rng: np.random.Generator) -> np.ndarray:
    """One array a little elsewhere; integers and booleans stay."""
    if not is_floating(value) or not value.size:
        return value
    if not off_zero:
        return value * (1 + size * rng.choice((-1.0, 1.0), value.shape))
    noise = rng.standard_normal(value.shape)
    finite = np.where(np.isfinite(value), value, 0)
    scale = float(np.sqrt(np.mean(np.square(finite)))) or 1.0
    signed = bool((finite < 0).any())
    return value + size * (np.abs(finite) + scale) * (noise if signed else np.abs(noise))
