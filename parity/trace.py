"""What every module of one side did in one call of the model, and a way to run each of them again. Numpy only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from parity import structure
from parity.record import Arrays, Record, nothing


class Rerun(Protocol):
    """Runs one module alone."""

    def __call__(self, inputs: Arrays, cotangents: Arrays | None = None) -> Record:
        """One call of the module on other inputs.

        Args:
          inputs: some of the traced inputs and numbers by leaf name, in this side's layout; the others keep their
            traced values.
          cotangents: of the floating outputs; None computes no gradients.

        Returns:
          Outputs by leaf name, gradients of inputs by leaf name, and those of parameters and buffers by full
          torch name or JAX path.
        """
        ...


@dataclass(frozen=True)
class ModuleCall:
    """One call of one module.

    Attributes:
      name: torch name or JAX path; empty for the model itself.
      kind: class of the module.
      nth: how many calls of the same module came before.
      order: position among all calls, by when they begin.
      parent: `order` of the call that this one happened in; None for the model itself.
      inputs: array arguments by leaf name, `input[0]`, `input.mask`.
      outputs: arrays of the result, `output`, `output[1].mean`.
      module: the module object.
      rerun: runs it alone.
      input_cotangents: of the loss by the inputs, through this call alone; empty where not traced.
      output_cotangents: of the loss by the outputs.
      numbers: whole numbers among the arguments that are no arrays, by leaf name: a position, a count.
      differentiated: the model itself takes a derivative through it, so that its inputs' cotangents come from more than
        those of its outputs.
      looped: it happens in a loop or a compiled function, and was seen because they were run step by step.
    """

    name: str
    kind: str
    nth: int
    order: int
    parent: int | None
    inputs: Arrays
    outputs: Arrays
    module: Any
    rerun: Rerun
    input_cotangents: Arrays = field(default_factory=nothing)
    output_cotangents: Arrays = field(default_factory=nothing)
    numbers: Arrays = field(default_factory=nothing)
    differentiated: bool = False
    looped: bool = False

    @property
    def scalars(self) -> Arrays:
        """Whole numbers among the arguments, in arrays of their own or not."""
        arrays = {leaf: v for leaf, v in self.inputs.items() if v.dtype.kind in "iu" and not v.ndim}
        return {**arrays, **self.numbers}

    def __str__(self) -> str:
        return f"{self.name or self.kind}{f' (call {self.nth + 1})' if self.nth else ''}"


@dataclass(frozen=True)
class Trace:
    """All calls of one run, by when they began; the model itself comes first.

    Attributes:
      calls: in order of beginning.
      param_grads: of every parameter, by torch name or JAX path; empty where not traced.
    """

    calls: tuple[ModuleCall, ...]
    param_grads: Arrays = field(default_factory=nothing)

    @property
    def root(self) -> ModuleCall:
        """The call of the model itself."""
        return self.calls[0]

    def inside(self, call: ModuleCall) -> Iterator[ModuleCall]:
        """Calls that happened within one, at any depth."""
        within = {call.order}
        for other in self.calls[call.order + 1 :]:
            if other.parent in within:
                within.add(other.order)
                yield other


def numbers(tree: Any, name: str) -> Arrays:
    """Whole numbers among the leaves of arguments that are no arrays; flags are none."""
    return {leaf: np.asarray(value) for leaf, value in structure.leaves(tree, name) if type(value) is int}


def is_array(value: Any) -> bool:
    """Whether a leaf of arguments or results is an array or a tensor, rather than a flag or a number."""
    return isinstance(value, np.ndarray | np.generic) or (hasattr(value, "shape") and hasattr(value, "dtype"))
