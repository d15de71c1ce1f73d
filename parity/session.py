"""Reference and candidate of one configuration, bound by the weight mapping; compiled once, run on many examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import weight_bridge
from parity.backends import Call, Candidate, Reference, candidate_program, reference_program
from parity.cotangents import cotangents
from parity.formats import Precision, rounded
from parity.layout import Layouts
from parity.pair import Mode, Pair, Weights
from parity.record import Arrays, Example, Record
from parity.weights import perturb


@dataclass(frozen=True)
class Session:
    """One reference and one candidate, ready to run.

    Attributes:
      name: of the pair.
      reference: the torch side.
      candidate: the JAX side.
      plan: carries weights over; None compares each side with its own weights.
      layouts: axis orders of inputs and outputs.
      modes: which modes are compared.
      weights: moves the reference's fresh weights; None keeps them.
    """

    name: str
    reference: Reference
    candidate: Candidate
    plan: weight_bridge.Plan | None
    layouts: Layouts
    modes: tuple[Mode, ...]
    weights: Weights | None

    @classmethod
    def of_pair(cls, pair: Pair, candidate: str, config: Any, inputs: tuple[np.ndarray, ...]) -> Session:
        """Builds both models of one config; `inputs` serve models that get their shapes from data."""
        label, build = pair.candidate(candidate)
        return cls.of_models(
            pair.reference(config),
            build(config),
            inputs,
            carry=pair.mapping if pair.mapping is not None else "infer",
            layouts=Layouts.of(pair.layout),
            modes=pair.modes,
            weights=pair.weights,
            call=Call(pair.method, pair.output),
            name=f"{pair.name} [{label}]",
        )

    @classmethod
    def of_models(
        cls,
        reference: Any,
        candidate: Any,
        inputs: tuple[np.ndarray, ...],
        *,
        carry: Any = "infer",
        layouts: Layouts,
        modes: tuple[Mode, ...],
        weights: Weights | None = perturb,
        call: Call,
        name: str,
    ) -> Session:
        """Binds two models; `carry` is `"infer"`, a mapping, a `weight_bridge.Plan`, or None for no carrying."""
        torch_side = reference_program(reference, call)
        laid_out = tuple(layouts.to_candidate(f"input[{i}]", value) for i, value in enumerate(inputs))
        jax_side = candidate_program(candidate, laid_out, call)
        plan = _plan(torch_side, jax_side, carry)
        return cls(name, torch_side, jax_side, plan, layouts, modes, weights if plan is not None else None)

    def state(self, seed: int) -> Mapping[str, np.ndarray]:
        """The reference's weights of one example, in float64."""
        fresh = self.reference.state()
        if self.weights is None:
            return fresh
        moved = dict(self.weights(fresh, np.random.default_rng([seed, 1])))
        ties = {alias: first for first, aliases in self.reference.parameter_names().items() for alias in aliases}
        return {name: moved[ties.get(name, name)] for name in moved}

    def trial(self, example: Example, precision: Precision) -> Trial:
        """One example, run lazily."""
        return Trial(self, example, precision)


def _plan(reference: Reference, candidate: Candidate, carry: Any) -> weight_bridge.Plan | None:
    """The mapping between the sides' states."""
    if carry is None or isinstance(carry, weight_bridge.Plan):
        return carry
    mapping = None if isinstance(carry, str) and carry == "infer" else carry
    return weight_bridge.plan(reference.model.state_dict(), candidate.target(), mapping=mapping, source=reference.model)


@dataclass(frozen=True)
class Trial:
    """One example on both sides; every run happens once, when a check first asks for it."""

    session: Session
    example: Example
    precision: Precision

    @cached_property
    def _records(self) -> dict[tuple[str, Mode], Record]:
        return {}

    @cached_property
    def state(self) -> Arrays:
        """The reference's weights, rounded to what the run can hold."""
        return {name: rounded(value, self.precision) for name, value in self.session.state(self.example.seed).items()}

    @cached_property
    def inputs(self) -> tuple[np.ndarray, ...]:
        """The inputs in the reference's layout, rounded likewise."""
        return tuple(rounded(value, self.precision) for value in self.example.inputs)

    def reference(self, mode: Mode) -> Record:
        """The torch side at this precision."""
        return self._reference("reference", mode, self.precision)

    def oracle(self, mode: Mode) -> Record:
        """The torch side in float64 on the same rounded weights and inputs: the truth."""
        return self._reference("oracle" if self.precision != "float64" else "reference", mode, "float64")

    def candidate(self, mode: Mode) -> Record:
        """The JAX side, in the reference's names and layout."""
        if ("candidate", mode) not in self._records:
            self._records["candidate", mode] = self._run_candidate(mode)
        return self._records["candidate", mode]

    def _reference(self, key: str, mode: Mode, precision: Precision) -> Record:
        if (key, mode) not in self._records:
            raw = self.session.reference.run(
                self.state,
                self.inputs,
                precision=precision,
                train=mode == "train",
                cotangents=None,
                seed=self.example.seed,
            )
            buffers = self._carry({**self.state, **raw.buffers}) if self.session.plan is not None else {}
            known = self.session.candidate.parameters()
            buffers = {path: value for path, value in buffers.items() if path not in known}
            self._records[key, mode] = Record(raw.outputs, raw.input_grads, raw.param_grads, buffers, raw.draws)
        return self._records[key, mode]

    def _run_candidate(self, mode: Mode) -> Record:
        session, layouts = self.session, self.session.layouts
        reference = self.reference(mode)
        weights = {n: layouts.to_candidate(n, v) for n, v in cotangents(reference.outputs, self.example.seed).items()}
        raw = session.candidate.run(
            self._carry(self.state) if session.plan is not None else session.candidate.state(),
            tuple(layouts.to_candidate(f"input[{i}]", value) for i, value in enumerate(self.inputs)),
            precision=self.precision,
            train=mode == "train",
            cotangents=weights,
            seed=self.example.seed,
            draws=reference.draws,
        )
        return Record(
            outputs={n: layouts.to_reference(n, v) for n, v in raw.outputs.items()},
            input_grads={n: layouts.to_reference(n, v) for n, v in raw.input_grads.items()},
            param_grads=self._pull_back(raw.param_grads) if session.plan is not None else {},
            buffers=raw.buffers if session.plan is not None else {},
        )

    def _carry(self, state: Arrays) -> Arrays:
        assert self.session.plan is not None
        return self.session.plan.apply(state)

    def _pull_back(self, gradients: Arrays) -> Arrays:
        """The candidate's parameter gradients under the first name of every parameter; the plan adds up ties."""
        assert self.session.plan is not None
        by_name = self.session.plan.pullback(gradients, self.state)
        merged: dict[str, np.ndarray] = {}
        for name, aliases in self.session.reference.parameter_names().items():
            found = next((by_name[alias] for alias in aliases if alias in by_name), None)
            if found is not None:
                merged[name] = found
        return merged
