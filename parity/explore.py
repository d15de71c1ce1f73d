"""Hypothesis drives a pair: a pool of configurations, each compiled once, and many draws of values and weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import numpy as np
from hypothesis import strategies as st

import weight_bridge
from parity._errors import StructureMismatch, UsageError
from parity.backends import Call, candidate_program, reference_program
from parity.backends.construction import constructed
from parity.draws import drawing
from parity.fitting import idle_in_call
from parity.formats import Precision
from parity.layout import Layouts, forgotten, usual
from parity.pair import Pair
from parity.record import Example
from parity.session import Session
from parity.strategies.inputs import Input
from parity.trial import REFUSALS, Trial

Made = TypeVar("Made")

DRAWS_PER_CASE = 8
"""How often a configuration is drawn for each that is wanted, since some come twice."""


@dataclass(frozen=True)
class Budget:
    """How much to run.

    Attributes:
      examples: draws of values and weights, over all configurations.
      configs: configurations and shapes, each compiled once.
      seed: of everything drawn.
      shrink: look for the smallest failing example.
    """

    examples: int = 25
    configs: int = 4
    seed: int = 0
    shrink: bool = True

    @classmethod
    def of(cls, examples: int, seed: int = 0) -> Budget:
        """A budget that compiles once per six examples or so, and at least twice where there is more than one."""
        return cls(examples, max(1, min(examples, 2 + examples // 12)), seed)


@dataclass(frozen=True)
class Case:
    """One configuration with the inputs' shapes: what is compiled together."""

    config: Any
    inputs: tuple[Input, ...]

    def example(self, profile: str, seed: int) -> Example:
        """The example of one draw."""
        rng = np.random.default_rng([seed, 0])
        return Example(tuple(given.values(profile, rng) for given in self.inputs), seed, profile, self.inputs)

    @property
    def key(self) -> str:
        """What tells it from others: two of the same shapes may be of other kinds and values."""
        return f"{self.config!r}, {self.inputs!r}"

    def __str__(self) -> str:
        shapes = ", ".join("x".join(map(str, given.shape)) or "scalar" for given in self.inputs)
        return f"{self.config!r}, inputs {shapes}" if self.config is not None else f"inputs {shapes}"


def cases(pair: Pair, budget: Budget) -> list[Case]:
    """Draws the pool: the simplest case that Hypothesis knows first, then different ones.

    Args:
      pair: whose configs and inputs are drawn.
      budget: how many, from which seed.

    Returns:
      Between one and `budget.configs` cases.
    """
    found: dict[str, Case] = {}

    def collect(data: st.DataObject) -> None:
        config = data.draw(pair.configs)
        case = Case(config, _declared(pair, pair.inputs(config), data))
        found.setdefault(case.key, case)

    drawing(collect, st.data(), examples=budget.configs * DRAWS_PER_CASE, seed=budget.seed)
    return list(found.values())[: budget.configs]


def _declared(pair: Pair, strategy: Any, data: st.DataObject) -> tuple[Input, ...]:
    """One draw of what a pair says its inputs are.

    Raises:
      UsageError: it is something else.
    """
    drawn: Any = data.draw(cast("Any", strategy)) if isinstance(strategy, st.SearchStrategy) else None
    if not isinstance(drawn, tuple | list) or not all(isinstance(one, Input) for one in cast("list[Any]", drawn)):
        given = strategy if drawn is None else drawn
        raise UsageError(
            f"pair {pair.name!r}: inputs(config) must be a strategy of tuples, e.g. st.just((parity.real(2, 5),)); "
            f"got {given!r}"
        )
    return tuple(cast("list[Input]", drawn))


def explore(
    pair: Pair,
    candidate: str,
    precision: Precision,
    budget: Budget,
    visit: Callable[[Case, Trial], None],
) -> None:
    """Runs `visit` on every drawn trial; where it raises, the smallest failing trial is the last one visited.

    Args:
      pair: what is explored.
      candidate: name of the candidate.
      precision: of the runs.
      budget: how much.
      visit: judges one trial, raising on divergence.

    Raises:
      StructureMismatch: one side refuses a configuration that the other accepts.
    """
    pool = cases(pair, budget)
    sessions: dict[str, Session | None] = {}
    profiles = dict.fromkeys(name for case in pool for given in case.inputs for name in given.profiles)

    def run(case: Case, profile: str, seed: int) -> None:
        example = case.example(profile, seed)
        if case.key not in sessions:
            sessions[case.key] = open_session(pair, candidate, case, example, seed=budget.seed)
        session = sessions[case.key]
        if session is not None:
            visit(case, Trial(session, example, precision))

    drawing(
        run,
        *(st.sampled_from(pool), _normal_first(profiles), st.integers(0, 2**32 - 1)),
        examples=budget.examples,
        seed=budget.seed,
        # Kept values say which case of the pool: of this pool.
        keep=f"{pair.name}-{candidate}-{precision}-{budget.examples}-{budget.seed}",
        shrink=budget.shrink,
    )


def _normal_first(profiles: Iterable[str]) -> st.SearchStrategy[str]:
    """A profile; the simplest is `normal` where there is one."""
    return st.sampled_from(sorted(profiles, key=lambda name: name != "normal") or ["normal"])


def open_session(pair: Pair, candidate: str, case: Case, example: Example, *, seed: int = 0) -> Session | None:
    """Builds both sides of a case; None where both refuse it.

    Args:
      pair: what is built.
      candidate: name of one of its candidates.
      case: its configuration and inputs.
      example: values for models that get their shapes from data.
      seed: of the reference's first weights, so that every build of a case starts from the same ones.

    Raises:
      StructureMismatch: only one side refuses.
    """
    from parity.backends.torch import seeded

    label, build = pair.candidate(candidate)
    with seeded(seed):
        reference, refused = _built(lambda: pair.reference(case.config))
    model, also = _built(lambda: constructed(lambda: build(case.config)))
    if refused is None and also is None:
        session = _bound(pair, label, reference, model, case, example)
        if session is None:
            return None
        if session.candidate.leaves() <= session.filled():
            return session
        return Session.of_pair(pair, label, reference, build(case.config), example.inputs, case.config)
    if refused is not None and also is None:
        _, also = _built(lambda: _described(model, pair, example))
    if refused is not None and also is not None:
        return None
    side, refusal = ("reference", refused) if refused is not None else ("candidate", also)
    raise StructureMismatch(f"only the {side} refuses {case.config!r}: {type(refusal).__name__}: {refusal}")


def _bound(pair: Pair, label: str, reference: Any, model: Any, case: Case, example: Example) -> Session | None:
    """Both sides with the weight mapping; None where neither takes the inputs.

    Raises:
      StructureMismatch: the candidate alone refuses the inputs that it gets its shapes from.
      UsageError: the layout applies to nothing, which may be why the weights cannot be mapped.
      weight_bridge.WeightBridgeError: the weights cannot be mapped; with the layout under which they can be.
    """

    def bound(pair: Pair) -> Session:
        return Session.of_pair(pair, label, reference, model, example.inputs, case.config)

    layouts, call = Layouts.of(pair.layout), Call(pair.method, pair.output)
    try:
        return bound(pair)
    except UsageError:
        raise
    except REFUSALS as refusal:
        idle, refused = _built(lambda: idle_in_call(reference_program(reference, call), layouts, example.inputs))
        if refused is not None:
            return None
        _require_busy(pair, idle, refusal)
        said = f"{type(refusal).__name__}: {refusal}{forgotten(reference, layouts)}"
        raise StructureMismatch(f"only the candidate refuses {case}: {said}") from refusal
    except weight_bridge.WeightBridgeError as refusal:
        idle, _ = _built(lambda: idle_in_call(reference_program(reference, call), layouts, example.inputs))
        _require_busy(pair, idle, refusal)
        text, hint = usual(reference, layouts), None
        with suppress(weight_bridge.WeightBridgeError, *REFUSALS):
            hint = text and bound(replace(pair, layout=text)) and f"\n  the weights fit with layout={text!r}"
        raise type(refusal)(f"{refusal}{hint or ''}") from refusal


def _require_busy(pair: Pair, idle: dict[str, str] | None, refusal: Exception) -> None:
    """Refuses a layout that applies to nothing of a call; a sequence's calls may have leaves for it."""
    if idle and pair.sequence is None:
        raise UsageError("; ".join(idle.values())) from refusal


def _described(model: Any, pair: Pair, example: Example) -> frozenset[str]:
    """The leaves of a candidate, which is where a model that is built by its first call refuses a configuration."""
    layouts = Layouts.of(pair.layout)
    inputs = tuple(layouts.to_candidate(f"input[{i}]", value) for i, value in enumerate(example.inputs))
    return candidate_program(model, inputs, Call(pair.method, pair.output)).leaves()


def _built(build: Callable[[], Made]) -> tuple[Made, None] | tuple[None, Exception]:
    """A model, or what follows from one, or the exception with which it refuses."""
    try:
        return build(), None
    except REFUSALS as refusal:
        return None, refusal
