"""Inputs by shape and kind; their values by profile and seed, so that one compilation serves many draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

Kind = Literal["real", "positive", "unit", "counts", "tokens", "mask"]

PROFILES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "normal": lambda x: x,
        "small": lambda x: x * 1e-3,
        "large": lambda x: x * 10.0,
        "offset": lambda x: x + 3.0,
        "wide": lambda x: x * 10.0 ** np.linspace(-2, 1, max(x.size, 1))[: x.size].reshape(x.shape),
    }
)
"""How standard normal values are shaped into the values of a real input."""


@dataclass(frozen=True)
class Input:
    """One positional argument of a model: everything about it but its values.

    Attributes:
      shape: in the reference's layout.
      kind: `real` numbers, `positive` ones, `unit` for [0, 1], `counts`, `tokens` for integers below `high`, or
        boolean `mask`.
      high: number of tokens, for `tokens`.
      profiles: names of `PROFILES` that a real input may take.
      scale: multiplies real values, for models whose dynamics bound their inputs.
    """

    shape: tuple[int, ...]
    kind: Kind = "real"
    high: int = 2
    profiles: tuple[str, ...] = ("normal", "small", "large", "offset", "wide")
    scale: float = 1.0

    def values(self, profile: str, rng: np.random.Generator) -> np.ndarray:
        """Draws the array.

        Args:
          profile: of `PROFILES`; one that this input does not list counts as its first.
          rng: the source of randomness; the same state gives the same array.

        Returns:
          float64, int64 for `tokens`, or bool for `mask`, of `shape`.
        """
        if self.kind == "tokens":
            return rng.integers(0, self.high, self.shape, dtype=np.int64)
        if self.kind == "mask":
            return rng.random(self.shape) < 0.7
        if self.kind == "unit":
            return rng.random(self.shape)
        if self.kind == "counts":
            return rng.poisson(self.scale, self.shape).astype(np.float64)
        shape_values = PROFILES[profile if profile in self.profiles else self.profiles[0]]
        normal = np.asarray(shape_values(rng.standard_normal(self.shape))) * self.scale
        return np.exp(np.clip(normal, -20, 5)) if self.kind == "positive" else normal


def real(*shape: int, scale: float = 1.0, profiles: tuple[str, ...] = Input.profiles) -> Input:
    """Real numbers of a shape, standard normal before profile and `scale`."""
    return Input(shape, "real", profiles=profiles, scale=scale)


def positive(*shape: int) -> Input:
    """Numbers above zero, log-normal."""
    return Input(shape, "positive", profiles=("normal", "small"))


def unit(*shape: int) -> Input:
    """Numbers in [0, 1), uniform."""
    return Input(shape, "unit")


def counts(*shape: int, rate: float = 2.0) -> Input:
    """Floating non-negative whole numbers, Poisson of the given rate."""
    return Input(shape, "counts", scale=rate)


def tokens(*shape: int, vocabulary: int) -> Input:
    """Integers in [0, vocabulary), uniform."""
    return Input(shape, "tokens", high=vocabulary)


def mask(*shape: int) -> Input:
    """Booleans, true with probability 0.7."""
    return Input(shape, "mask")
