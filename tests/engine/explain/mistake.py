"""One mistake as a row of a table: a torch module, a JAX function that gets it wrong, and the cause to be named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from parity.backends import Call
from parity.diagnosis import diagnose
from parity.layout import Layouts
from parity.record import Example
from parity.report import Report, Result
from parity.session import Session
from parity.trial import Trial
from parity.weights import perturb

Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Mistake:
    """A wrong port of one layer.

    Attributes:
      cause: id to be named first; several where they are the same mistake.
      reference: builds the torch module.
      candidate: (weights of the reference) → wrong function of the inputs.
      inputs: arguments.
      check: that shows it.
      train: in training mode.
    """

    cause: str | tuple[str, ...]
    reference: Callable[[], nn.Module]
    candidate: Callable[[Weights], Callable[..., Any]]
    inputs: tuple[np.ndarray, ...]
    check: str = "forward"
    train: bool = False

    @property
    def causes(self) -> tuple[str, ...]:
        return (self.cause,) if isinstance(self.cause, str) else self.cause

    def assert_named(self) -> None:
        """Its cause comes first, and explains the error."""
        report = self.report()
        assert report.causes, report
        assert report.causes[0].id in self.causes, report
        assert report.causes[0].explains > 0.9

    def report(self) -> Report:
        """What parity says about it; where a verdict lets it pass, such as a tie, what it would say."""
        module = spread(self.reference())
        weights = {name: value.detach().double().numpy() for name, value in module.state_dict().items()}
        mode = "train" if self.train else "eval"
        session = Session.of_models(
            module,
            self.candidate(weights),
            self.inputs,
            carry=None,
            layouts=Layouts(),
            modes=(mode,),
            weights=None,
            call=Call(),
            name="mistake",
        )
        result = Result.broken(self.check, "known to be wrong")
        report = Report("mistake", "cpu", "float64", (replace(result, mode=mode),))
        return diagnose(Trial(session, Example(self.inputs), "float64"), report)


def spread(module: nn.Module, seed: int = 0) -> nn.Module:
    """Moves every weight and statistic off its initial constant."""
    from parity.backends.torch import load, to_numpy

    module = module.double()
    fresh = {name: to_numpy(value) for name, value in module.state_dict().items()}
    load(module, perturb(fresh, np.random.default_rng(seed)))
    return module


def normal(*shape: int, seed: int = 0, scale: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """Standard normal numbers."""
    return offset + scale * np.random.default_rng([seed, *shape]).standard_normal(shape)
