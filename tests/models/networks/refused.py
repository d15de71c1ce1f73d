"""What becomes of one call in each framework: the shapes of its results, or the exception."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import torch
from jax import numpy as jnp

import models.networks.jax
import models.networks.torch

REFUSALS = (ValueError, TypeError, AssertionError, NotImplementedError, IndexError, RuntimeError, ZeroDivisionError)
Attempt = Callable[[Any, Callable[..., Any], Callable[[Any], Any]], Any]
"""`attempt(library, build, array)`: with `build(name, *args, **kwargs)` for modules and `array` for inputs."""


@dataclass(frozen=True)
class Outcome:
    """Shapes where it went well, the exception where it did not."""

    shapes: Any = None
    refusal: Exception | None = None

    @property
    def kind(self) -> str:
        return "built" if self.refusal is None else type(self.refusal).__name__


def outcomes(attempt: Attempt, *, values: bool = False) -> tuple[Outcome, Outcome]:
    """Run one attempt in torch and in JAX; JAX on shapes alone, unless the refusal depends on values."""
    return _torch(attempt), _jax(attempt, values=values)


def _torch(attempt: Attempt) -> Outcome:
    library = models.networks.torch

    def build(name: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(library, name)(*args, **kwargs)

    try:
        with torch.no_grad():
            return Outcome(_shapes(attempt(library, build, lambda value: torch.tensor(value))))
    except REFUSALS as refusal:
        return Outcome(refusal=refusal)


def _jax(attempt: Attempt, *, values: bool) -> Outcome:
    library = models.networks.jax

    def build(name: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(library, name)(*args, **kwargs, rngs=0)

    def run() -> Any:
        return _arrays(attempt(library, build, jnp.asarray))

    try:
        return Outcome(_shapes(run() if values else jax.eval_shape(run)))
    except REFUSALS as refusal:
        return Outcome(refusal=refusal)


def _arrays(result: Any) -> Any:
    """The arrays of a result: a stoch is no array, though it has a shape."""
    return {name: getattr(result, name) for name in vars(result)} if hasattr(result, "stoch") else result


def _shapes(result: Any) -> Any:
    result = _arrays(result)
    if isinstance(result, dict):
        return {name: _shapes(value) for name, value in result.items()}
    if isinstance(result, tuple | list):
        return tuple(_shapes(value) for value in result)
    return tuple(np.shape(result)) if not hasattr(result, "shape") else tuple(result.shape)
