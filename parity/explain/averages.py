"""Running averages of values that move: taken before the step in place of after."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from parity.backends.torch_rewrite import Op, Replace
from parity.explain.scene import Scene
from parity.explain.suspect import Family, Hypothesis, Suspect

MOVES = ("add", "sub", "addcmul", "addcdiv")
"""Calls that move a value on, their first argument."""


def averages(scene: Scene) -> Iterator[Hypothesis]:
    """An exponential average, keep * average + (1 - keep) * value, that takes each value as it was before its step."""
    made = {id(op.result): op for op in scene.suspected if isinstance(op.result, Tensor)}
    sums = {id(op.result): found for op in scene.suspected if (found := _weighted(op, made))}
    early: dict[int, Replace] = {}
    for products in sums.values():
        for product in products:
            value = next(a for a in product.args[:2] if isinstance(a, Tensor))
            move = made.get(id(value)) if id(value) not in sums else None
            if move is not None and move.name in MOVES and _alike(move.args[0], value) and move.index not in early:
                memory: list[Tensor] = []
                early[move.index] = lambda o, m=memory: _noted(o, m)
                early[product.index] = lambda o, m=memory: _on(o, m[-1])
    if early:
        yield Suspect("ema-order", scene.name, "the average takes each value from before its step", early)


def _weighted(op: Op, made: dict[int, Op]) -> tuple[Op, ...]:
    """The two products that a sum adds, if their weights add up to one."""
    products = [made.get(id(arg)) for arg in op.args[:2]] if op.name == "add" else []
    found = tuple(p for p in products if p is not None and p.name == "mul")
    weights = [a for p in found for a in p.args[:2] if isinstance(a, int | float)]
    return found if len(found) == len(weights) == 2 and math.isclose(sum(weights), 1.0, rel_tol=1e-9) else ()


def _on(op: Op, value: Tensor) -> Any:
    """A product with another array."""
    return op.function(*(value if isinstance(a, Tensor) else a for a in op.args), **op.kwargs)


def _alike(before: Any, after: Tensor) -> bool:
    return isinstance(before, Tensor) and before.shape == after.shape


def _noted(op: Op, memory: list[Tensor]) -> Any:
    """The move itself, with what it moves kept."""
    memory.append(op.args[0].clone())
    return op.again()


FAMILY = Family("averages", {}, averages)
