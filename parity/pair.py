"""A pair: one claim that a JAX model computes what a torch model computes. Declarations only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from hypothesis import strategies as st

from parity._errors import UsageError
from parity.layout import Layouts
from parity.optimizers import DEFAULT_OPTIMIZERS, Optimizers
from parity.record import Arrays
from parity.strategies.inputs import Input
from parity.tolerance import Override
from parity.weights import perturb

if TYPE_CHECKING:
    from torch import nn

DEFAULT_CHECKS = ("forward", "input_grad", "param_grad", "buffers")

Mode = Literal["eval", "train"]
Weights = Callable[[Arrays, np.random.Generator], Mapping[str, np.ndarray]]
Calls = Callable[..., Iterable[tuple[str | None, tuple[np.ndarray, ...]]]]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Reference, candidates, and what to feed them.

    Attributes:
      name: unique within its module, as shown in reports.
      reference: config → torch module; called under the default dtype of the run.
      candidates: by name (`nnx`, `linen`, ...), config → the JAX model: an NNX or Equinox module, or a linen module.
      inputs: config → strategy of the positional arguments.
      configs: strategy of configs; printable, and equal text means equal config.
      method: method called on both sides; None calls the model itself.
      output: maps the raw result to what is compared, on both sides; None compares all of it.
      layout: see `parity.compare`.
      modes: which of evaluation and training mode are compared.
      checks: names of checks.
      exempt: name of a check → why the claim does not hold for it; it is not run even where all are asked for,
        and its reason stands in the report.
      weights: (fresh reference state, rng) → the state of one example.
      overrides: wider bounds, each with a reason.
      mapping: rules for the weight bridge, only where inference cannot know.
      sequence: (inputs) → calls one after the other, each a method (None for the model itself) and its inputs; both
        sides keep their buffers from one to the next. For prefill and decoding, stateful inference, and the like.
      optimizers: trained with by `trajectory`; see `parity.optimizers`.
    """

    name: str
    reference: Callable[[Any], nn.Module]
    candidates: Mapping[str, Callable[[Any], Any]]
    inputs: Callable[[Any], st.SearchStrategy[tuple[Input, ...]]]
    configs: st.SearchStrategy[Any] = field(default_factory=st.none)
    method: str | None = None
    output: Callable[[Any], Any] | None = None
    layout: str | Mapping[str, str] | Layouts | None = None
    modes: tuple[Mode, ...] = ("eval", "train")
    checks: tuple[str, ...] = DEFAULT_CHECKS
    exempt: Mapping[str, str] = field(default_factory=dict[str, str])
    weights: Weights = perturb
    overrides: tuple[Override, ...] = ()
    mapping: Any = None
    sequence: Calls | None = None
    optimizers: tuple[Optimizers, ...] = DEFAULT_OPTIMIZERS

    def __post_init__(self) -> None:
        if not self.candidates:
            raise UsageError(
                f"pair {self.name!r} has no candidates: give at least one, for example candidates={{'nnx': build}}"
            )
        if not self.modes or set(self.modes) - {"eval", "train"}:
            raise UsageError(f"pair {self.name!r}: modes {self.modes!r}, expected 'eval', 'train' or both")
        _refuse_text(self.name, self.checks)
        unexplained = [name for name, reason in self.exempt.items() if len(reason.split()) < 2]
        if unexplained:
            raise UsageError(
                f"pair {self.name!r}: exempt from {', '.join(unexplained)} without a reason; say it in words"
            )
        object.__setattr__(self, "candidates", MappingProxyType(dict(self.candidates)))

    def candidate(self, name: str | None = None) -> tuple[str, Callable[[Any], Any]]:
        """The builder of one candidate, the first where no name is given.

        Raises:
          UsageError: the pair has no candidate of that name.
        """
        chosen = name or next(iter(self.candidates))
        if chosen not in self.candidates:
            raise UsageError(f"pair {self.name!r} has no candidate {chosen!r}; it has {', '.join(self.candidates)}")
        return chosen, self.candidates[chosen]


def _refuse_text(name: str, checks: tuple[str, ...] | str) -> None:
    """One text in place of a tuple of names would count as its letters."""
    if isinstance(checks, str):
        raise UsageError(f"pair {name!r}: checks: expected a tuple of names, got {checks!r}")
