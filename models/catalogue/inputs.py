"""Inputs that random numbers rarely are: exact zeros and ties, saturation, ragged lengths, values on boundaries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from parity import Input

Draw = Callable[[tuple[int, ...], np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Chosen(Input):
    """An input whose profiles are draws of its own; the first is what one would feed without thinking.

    Attributes:
      draws: by profile name, (shape, source of randomness) → values.
    """

    draws: tuple[tuple[str, Draw], ...] = ()

    def values(self, profile: str, rng: np.random.Generator) -> np.ndarray:
        """Draws the array; see `parity.Input.values`."""
        draws = dict(self.draws)
        draw = draws.get(profile, self.draws[0][1])
        return np.asarray(draw(self.shape, rng))


def chosen(*shape: int, **draws: Draw) -> Chosen:
    """An input of a shape with the given draws; the keyword of each names its profile."""
    return Chosen(shape, "real", profiles=tuple(draws), draws=tuple(draws.items()))


def normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Standard normal."""
    return rng.standard_normal(shape)


def extreme(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Magnitudes from 1e-1 to 1e3 in random order, of either sign."""
    return rng.choice([-1.0, 1.0], shape) * 10.0 ** rng.uniform(-1, 3, shape)


def shifted(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Standard normal around a thousand."""
    return rng.standard_normal(shape) + 1000.0


def coarse(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Halves between -2 and 2: many ties, many exact zeros, values on boundaries."""
    return rng.integers(-4, 5, shape) / 2.0


def deep(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Far below zero, where an exponential is almost nothing."""
    return rng.uniform(-35, -25, shape)


def tiny(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Of the order of 1e-13, with exact zeros in between."""
    return rng.standard_normal(shape) * 1e-13 * rng.choice([0.0, 1.0], shape)


def zero_rows(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Standard normal with the first row all zero."""
    values = rng.standard_normal(shape)
    values[0] = 0.0
    return values


def integers(low: int, high: int) -> Draw:
    """Integers from `low` up to, not including, `high`."""
    return lambda shape, rng: rng.integers(low, high, shape, dtype=np.int64)


def scattered(low: int, high: int, *, every: int = 3) -> Draw:
    """Integers of which every third or so is replaced by its neighbour: duplicates for certain."""

    def draw(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        values = rng.integers(low, high, shape, dtype=np.int64).ravel()
        values[::every] = values[0]
        return values.reshape(shape)

    return draw


def fixed(values: np.ndarray) -> Draw:
    """Always the same values."""
    return lambda shape, rng: np.broadcast_to(values, shape).copy()


def lengths(longest: int) -> Draw:
    """Lengths between one and `longest`; the first is the longest, the last is one."""

    def draw(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        values = rng.integers(1, longest + 1, shape, dtype=np.int64)
        values[0], values[-1] = longest, 1
        return values

    return draw


def full(longest: int) -> Draw:
    """Every length the longest."""
    return lambda shape, rng: np.full(shape, longest, np.int64)
