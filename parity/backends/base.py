"""What every framework's side offers: arrays in, a record out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from parity._errors import UsageError
from parity.formats import Precision
from parity.noise import Draw, Request
from parity.record import Arrays, Record


@dataclass(frozen=True)
class Call:
    """How a model is called, on both sides.

    Attributes:
      method: name of the method; None calls the model itself.
      output: maps the raw result to what is compared; None compares all of it.
    """

    method: str | None = None
    output: Callable[[Any], Any] | None = None

    def require_of(self, model: Any) -> None:
        """Refuses a model without the method.

        Raises:
          UsageError: with the model's type and the method.
        """
        if self.method and not hasattr(model, self.method):
            raise UsageError(f"method={self.method!r}: {type(model).__module__}.{type(model).__qualname__} has none")

    def of(self, model: Any) -> Callable[..., Any]:
        """The bound method of a model."""
        return getattr(model, self.method) if self.method else model

    def select(self, result: Any) -> Any:
        """What is compared of a raw result."""
        return self.output(result) if self.output else result


class Program(Protocol):
    """One model that can be run with any weights, in any precision, in either mode."""

    framework: str
    model: Any
    call: Call

    def state(self) -> dict[str, np.ndarray]:
        """The model's own weights and buffers, by torch name or JAX path."""
        ...

    def run(
        self,
        state: Arrays,
        inputs: tuple[np.ndarray, ...],
        *,
        precision: Precision,
        train: bool,
        cotangents: Arrays | None,
        seed: int,
        draws: tuple[Draw, ...] = (),
        gradients: bool = True,
    ) -> Record:
        """One call and its gradients.

        Args:
          state: every weight and buffer, by torch name or JAX path.
          inputs: positional arguments in this side's layout.
          precision: floating arrays are cast to it on entry.
          train: training mode.
          cotangents: of the floating outputs, by leaf name, in this side's layout; None draws them from `seed`.
          seed: of the example; also gives every draw its numbers.
          draws: those of the reference, for the candidate's to take their numbers from; the reference ignores it.
          gradients: whether they are wanted; the record has none otherwise.

        Returns:
          The record, in this side's names and layout.
        """
        ...


class Reference(Program, Protocol):
    """The torch side."""

    def parameter_names(self) -> dict[str, tuple[str, ...]]:
        """First name of every trainable parameter, with all names that share it."""
        ...


class Candidate(Program, Protocol):
    """A JAX side."""

    def leaves(self) -> frozenset[str]:
        """Paths of every parameter and buffer."""
        ...

    def parameters(self) -> frozenset[str]:
        """Paths of the leaves that are differentiated."""
        ...

    def requests_of(self, train: bool, draws: tuple[Draw, ...]) -> tuple[Request, ...]:
        """What the model asked for when it was last traced against these draws of the reference."""
        ...

    def draws_inside(self, train: bool, draws: tuple[Draw, ...]) -> bool | None:
        """Whether it draws inside of transformations, against these draws of the reference; None until it is called."""
        ...

    def target(self) -> Any:
        """The model as the weight bridge takes it."""
        ...
