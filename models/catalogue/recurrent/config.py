"""Sizes of the recurrent family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RecurrentConfig:
    """A recurrent layer and a dense head.

    Attributes:
      inputs: features of a step.
      hidden: features of the state.
      outputs: of the head.
      dropout: between stacked layers.
    """

    inputs: int = 3
    hidden: int = 5
    outputs: int = 2
    dropout: float = 0.3
