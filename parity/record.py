"""What one side did on one example: the hub that checks compare, numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from parity.noise import Draw
from parity.strategies.inputs import Input

Arrays = Mapping[str, np.ndarray]


def nothing() -> Arrays:
    """An empty, read-only mapping of arrays."""
    return MappingProxyType({})


@dataclass(frozen=True)
class Record:
    """Everything observable of one call, in the reference's names and layout.

    Attributes:
      outputs: by leaf name (`output`, `output[0]`, `output.mean`).
      input_grads: cotangent of every floating input, by `input[i]`.
      param_grads: cotangent of every parameter, by torch name.
      buffers: value after the call, by the candidate's path.
      draws: requests for random numbers, in order.
    """

    outputs: Arrays
    input_grads: Arrays = field(default_factory=nothing)
    param_grads: Arrays = field(default_factory=nothing)
    buffers: Arrays = field(default_factory=nothing)
    draws: tuple[Draw, ...] = ()


@dataclass(frozen=True)
class Example:
    """One drawn input to both sides.

    Attributes:
      inputs: positional arguments in the reference's layout; floating ones in float64.
      seed: draws the weights' perturbation and the cotangents.
      profile: how the values were drawn, for the report.
      declared: what the inputs are, where a pair says so.
    """

    inputs: tuple[np.ndarray, ...]
    seed: int = 0
    profile: str = "given"
    declared: tuple[Input, ...] = ()
