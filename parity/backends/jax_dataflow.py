"""Which variables of a jaxpr follow from which; what its calls hold inside is not looked into."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from typing import Any

from jax.extend import core


def variables(operands: Iterable[Any]) -> set[Any]:
    """Operands but for literal numbers."""
    return {operand for operand in operands if not isinstance(operand, core.Literal)}


def following(jaxpr: Any, moving: Set[Any]) -> set[Any]:
    """These variables, and all that follow from some of them."""
    found = set(moving)
    for equation in jaxpr.eqns:
        if found & variables(equation.invars):
            found.update(equation.outvars)
    return found


def leading(jaxpr: Any, felt: Set[Any], through: Callable[[Any], bool] = lambda equation: True) -> set[Any]:
    """These variables, and all that some of them follow from.

    Args:
      jaxpr: the program.
      felt: the variables.
      through: whether what an equation takes counts, for what it gives does.
    """
    found = set(felt)
    for equation in reversed(jaxpr.eqns):
        if found & set(equation.outvars) and through(equation):
            found |= variables(equation.invars)
    return found
