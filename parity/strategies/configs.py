"""Configurations drawn from a dataclass, and sizes that hide no permutation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hypothesis import strategies as st

from parity._errors import UsageError

Config = TypeVar("Config")

PRIMES = (2, 3, 5, 7, 11, 13)


def configs(build: Callable[..., Config], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Config]:
    """Draws the fields of a config class independently.

    Args:
      build: the dataclass, or any callable that takes the fields as keywords.
      **fields: a strategy per field; fields left out keep their default.

    Returns:
      A strategy of configs. Combinations that `build` refuses with ValueError are not drawn.

    Raises:
      UsageError: a field without a default has no strategy, or a strategy no field.

    Example:
      >>> from dataclasses import dataclass
      >>> @dataclass(frozen=True)
      ... class Tiny:
      ...     width: int
      ...     bias: bool = True
      >>> strategy = configs(Tiny, width=st.sampled_from((3, 5)), bias=st.booleans())
    """
    _require_fields(build, fields)

    @st.composite
    def draw_config(draw: st.DrawFn) -> Config:
        values = {name: draw(strategy) for name, strategy in fields.items()}
        try:
            return build(**values)
        except ValueError:
            return draw(st.nothing())

    return draw_config()


def distinct(count: int, among: tuple[int, ...] = PRIMES) -> st.SearchStrategy[tuple[int, ...]]:
    """Draws `count` pairwise distinct sizes, so that no axis can pass for another.

    Example:
      >>> strategy = distinct(3)
    """
    return st.permutations(among).map(lambda order: tuple(order[:count]))


def _require_fields(build: Callable[..., Any], fields: Mapping[str, Any]) -> None:
    """Refuses names that a config does not take, and fields without a default that have no strategy."""
    try:
        signature = inspect.signature(build)
    except ValueError:  # builtin types, as dict is one, do not say what they take
        return
    try:
        signature.bind(**fields)
    except TypeError as error:
        given = ", ".join(fields) or "none"
        raise UsageError(
            f"configs({build.__name__}): {error}; each field without a default needs a strategy, given are {given}"
        ) from error
