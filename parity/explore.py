"""Hypothesis drives a pair: a pool of configurations, each compiled once, and many draws of values and weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase

from parity._errors import StructureMismatch
from parity.backends import Call, candidate_program
from parity.backends.construction import constructed
from parity.formats import Precision
from parity.layout import Layouts
from parity.pair import Pair
from parity.record import Example
from parity.session import Session
from parity.strategies.inputs import Input
from parity.trial import REFUSALS, Trial

EVERY_CHECK: list[Any] = list(HealthCheck)  # typed as the metaclass's members


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

    @hypothesis.seed(budget.seed)
    @_quiet(budget.configs * 4, phases=(Phase.generate,))
    @hypothesis.given(st.data())
    def collect(data: st.DataObject) -> None:
        config = data.draw(pair.configs)
        case = Case(config, data.draw(pair.inputs(config)))
        found.setdefault(str(case), case)

    collect()
    return list(found.values())[: budget.configs]


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
    profiles = sorted(
        {name for case in pool for given in case.inputs for name in given.profiles},
        key=lambda n: n != "normal",
    )

    @hypothesis.seed(budget.seed)
    @_quiet(budget.examples, database=_database(f"{pair.name}-{candidate}-{precision}"), shrink=budget.shrink)
    @hypothesis.given(st.sampled_from(pool), st.sampled_from(profiles or ["normal"]), st.integers(0, 2**32 - 1))
    def run(case: Case, profile: str, seed: int) -> None:
        example = case.example(profile, seed)
        if str(case) not in sessions:
            sessions[str(case)] = open_session(pair, candidate, case, example, seed=budget.seed)
        session = sessions[str(case)]
        if session is not None:
            visit(case, session.trial(example, precision))

    run()


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
        session = Session.of_pair(pair, label, reference, model, example.inputs, case.config)
        if session.candidate.leaves() <= session.filled():
            return session
        return Session.of_pair(pair, label, reference, build(case.config), example.inputs, case.config)
    if refused is not None and also is None:
        _, also = _built(lambda: _described(model, pair, example))
    if refused is not None and also is not None:
        return None
    side, refusal = ("reference", refused) if refused is not None else ("candidate", also)
    raise StructureMismatch(f"only the {side} refuses {case.config!r}: {type(refusal).__name__}: {refusal}")


def _described(model: Any, pair: Pair, example: Example) -> frozenset[str]:
    """The leaves of a candidate, which is where a model that is built by its first call refuses a configuration."""
    layouts = Layouts.of(pair.layout)
    inputs = tuple(layouts.to_candidate(f"input[{i}]", value) for i, value in enumerate(example.inputs))
    return candidate_program(model, inputs, Call(pair.method, pair.output)).leaves()


def _built(build: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """A model, or the exception with which it refuses to be built."""
    try:
        return build(), None
    except REFUSALS as refusal:
        return None, refusal


def _quiet(
    examples: int, *, phases: tuple[Phase, ...] | None = None, database: Any = None, shrink: bool = True
) -> settings:
    """Hypothesis settings for functions that compile: no deadline, no health checks on data size."""
    chosen = phases or (Phase.explicit, Phase.reuse, Phase.generate, *((Phase.shrink,) if shrink else ()))
    return settings(
        max_examples=max(1, examples),
        deadline=None,
        database=database,
        phases=chosen,
        suppress_health_check=EVERY_CHECK,  # they time and size the draws; here a first draw compiles a model
        print_blob=False,
        report_multiple_bugs=False,
        derandomize=False,
    )


def _database(name: str) -> ExampleDatabase | None:
    """Failing examples of one pair, beside Hypothesis' own; none where the profile keeps none."""
    kept = settings().database
    if not isinstance(kept, DirectoryBasedExampleDatabase):
        return kept
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
    return DirectoryBasedExampleDatabase(kept.path / "parity" / safe)
