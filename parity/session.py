"""Reference and candidate of one configuration, bound by the weight mapping; compiled once, run on many examples."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

import weight_bridge
from parity.backends import Call, Candidate, Reference, candidate_program, reference_program
from parity.layout import Layouts
from parity.pair import Mode, Pair, Weights
from parity.record import Arrays, Record
from parity.weights import perturb

Found = TypeVar("Found")


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
      pair: what was declared; None for two given models.
      label: which of the pair's candidates.
      config: of the pair.
      found: what has been found out about the configuration.
    """

    name: str
    reference: Reference
    candidate: Candidate
    plan: weight_bridge.Plan | None
    layouts: Layouts
    modes: tuple[Mode, ...]
    weights: Weights | None
    pair: Pair | None = None
    label: str = ""
    config: Any = None
    found: dict[Hashable, Any] = field(default_factory=dict[Hashable, Any], repr=False, compare=False)

    @classmethod
    def of_pair(
        cls, pair: Pair, label: str, reference: Any, candidate: Any, inputs: tuple[np.ndarray, ...], config: Any = None
    ) -> Session:
        """Binds the models of one config; `inputs` serve models that get their shapes from data."""
        models = cls.of_models(
            reference,
            candidate,
            inputs,
            carry=pair.mapping if pair.mapping is not None else "infer",
            layouts=Layouts.of(pair.layout),
            modes=pair.modes,
            weights=pair.weights,
            call=Call(pair.method, pair.output),
            name=f"{pair.name} [{label}]",
        )
        return replace(models, pair=pair, label=label, config=config)

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
        fresh = self.once("fresh", self.reference.state)
        if self.weights is None:
            return fresh
        moved = dict(self.weights(fresh, np.random.default_rng([seed, 1])))
        ties = {alias: first for first, aliases in self.parameter_names().items() for alias in aliases}
        return {name: moved[ties.get(name, name)] for name in moved}

    def parameter_names(self) -> Mapping[str, tuple[str, ...]]:
        """See `Reference.parameter_names`."""
        return self.once("parameter names", self.reference.parameter_names)

    def once(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """What holds for the whole configuration: found when first asked for."""
        if key not in self.found:
            self.found[key] = find()
        return self.found[key]

    def calling(self, method: str | None, inputs: tuple[np.ndarray, ...]) -> Session:
        """The same two models, another method of them; this very session where it is the same method."""
        if method == self.reference.call.method:
            return self
        output = self.reference.call.output

        def bound() -> Session:
            call = Call(method, output)
            candidate = candidate_program(self.candidate.target(), self.laid_out(inputs), call)
            return replace(self, reference=reference_program(self.reference.model, call), candidate=candidate, found={})

        return self.once(("calling", method), bound)

    def carried(self, state: Arrays) -> Arrays:
        """The candidate's leaves for a state of the reference; those that the plan leaves alone keep their values."""
        if self.plan is None:
            return self.candidate.state()
        return self._left_alone() | self.plan.apply(state)

    def fresh_candidate(self, inputs: tuple[np.ndarray, ...]) -> Candidate:
        """A newly built candidate of the pair's config, with values and keys of its own; of two models, theirs."""
        if self.pair is None:
            return self.candidate
        _, build = self.pair.candidate(self.label)
        return self.once(
            "fresh candidate", lambda: candidate_program(build(self.config), self.laid_out(inputs), self.candidate.call)
        )

    def fresh_reference(self, seed: int) -> Arrays:
        """The candidate's leaves as a newly built reference would fill them."""
        from parity.backends.torch import seeded

        assert self.pair is not None
        assert self.plan is not None
        with seeded(seed):
            model = self.pair.reference(self.config)
        return self.plan.apply(reference_program(model, self.reference.call).state())

    def _left_alone(self) -> dict[str, np.ndarray]:
        alone = self.candidate.leaves() - self.filled()
        return self.once("left alone", lambda: _only(self.candidate.state(), alone) if alone else {})

    def laid_out(self, inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Inputs in the candidate's layout."""
        return tuple(self.layouts.to_candidate(f"input[{i}]", value) for i, value in enumerate(inputs))

    def filled(self) -> frozenset[str]:
        """The candidate's leaves that the plan fills."""
        steps = self.plan.steps if self.plan is not None else ()
        return self.once("filled", lambda: frozenset(path for step in steps for path in step.targets))

    def buffers_of(self, state: Arrays) -> Arrays:
        """The candidate's buffers for a state of the reference."""
        paths = self.filled() - self.candidate.parameters()
        if self.plan is None or not paths:
            return {}
        return {path: value for path, value in self.plan.apply(state).items() if path in paths}

    def read_back(self, raw: Record, state: Arrays) -> Record:
        """A record of the candidate in the reference's names and layout; buffers keep their paths."""
        to_reference = self.layouts.to_reference
        mapped = self.plan is not None
        return Record(
            outputs={n: to_reference(n, v) for n, v in raw.outputs.items()},
            input_grads={n: to_reference(n, v) for n, v in raw.input_grads.items()},
            param_grads=self.pulled_back(raw.param_grads, state) if mapped else {},
            buffers={path: value for path, value in raw.buffers.items() if path in self.filled()} if mapped else {},
        )

    def pulled_back(self, gradients: Arrays, state: Arrays) -> Arrays:
        """The candidate's parameter gradients under the first name of every parameter; the plan adds up ties."""
        assert self.plan is not None
        by_name = self.plan.pullback({path: g for path, g in gradients.items() if path in self.filled()}, state)
        merged: dict[str, np.ndarray] = {}
        for name, aliases in self.parameter_names().items():
            found = next((by_name[alias] for alias in aliases if alias in by_name), None)
            if found is not None:
                merged[name] = found
        return merged


def _plan(reference: Reference, candidate: Candidate, carry: Any) -> weight_bridge.Plan | None:
    """The mapping between the sides' states."""
    if carry is None or isinstance(carry, weight_bridge.Plan):
        return carry
    mapping = None if isinstance(carry, str) and carry == "infer" else carry
    sides = reference.model.state_dict(), candidate.target()
    # A flattened image in another order shows in the numbers, and is named there.
    return weight_bridge.plan(*sides, mapping=mapping, source=reference.model, flatten="as torch")


def _only(arrays: Arrays, names: frozenset[str]) -> dict[str, np.ndarray]:
    """Some of the arrays."""
    return {name: array for name, array in arrays.items() if name in names}
