"""Running averages: of values from before their step in place of after, and with another decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from parity.backends.torch_rewrite import Op, Replace
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Dial, Hypothesis, Suspect

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


def decays(scene: Scene) -> Iterator[Hypothesis]:
    """An exponential average that keeps another share, such as the share that the reference takes."""
    made: dict[int, Op] = {}
    for op in scene.suspected:
        for kept, build in _kept(op, made):
            guesses = (1 - kept, 0.9, 0.99, 0.999, 0.9999, 0.5)
            yield Dial("ema-decay", op.owner, "decay", kept, guesses, build)
        if isinstance(op.result, Tensor):
            made[id(op.result)] = op  # in place, a tensor is the result of several calls: the last one counts


def _kept(op: Op, made: dict[int, Op]) -> Iterator[tuple[float, Callable[[float], Mapping[int, Replace]]]]:
    """The share that an average keeps, and how it is made with another, if a call ends one."""
    first = made.get(id(op.args[0])) if op.args else None
    weight, taken = _factor(first), op.kwargs.get("alpha")
    both = (weight or 0.0) + taken if isinstance(taken, float) and op.name == "add" else None
    if first is not None and weight is not None and both is not None and math.isclose(both, 1.0, rel_tol=1e-9):
        place = first.index
        yield weight, lambda v: {place: lambda o: _times(o, v), op.index: lambda o: _adding(o, 1 - v)}
    products = sorted(_weighted(op, made), key=lambda p: -(_factor(p) or 0.0))
    if products:
        more, less = (p.index for p in products)
        weight = _factor(products[0])
        assert weight is not None
        yield weight, lambda v: {more: lambda o: _times(o, v), less: lambda o: _times(o, 1 - v)}
    if op.name == "lerp" and isinstance(op.args[-1], float):
        yield 1 - op.args[-1], lambda v: {op.index: lambda o: o.function(*o.args[:-1], 1 - v, **o.kwargs)}


def _factor(op: Op | None) -> float | None:
    """The number that a product multiplies by."""
    found = [a for a in op.args if isinstance(a, float)] if op is not None and op.name == "mul" else []
    return found[0] if len(found) == 1 else None


def _times(op: Op, factor: float) -> Any:
    """A product with another number."""
    return op.function(*(factor if isinstance(a, int | float) else a for a in op.args), **op.kwargs)


def _adding(op: Op, alpha: float) -> Any:
    """A sum that adds another multiple."""
    return op.function(*op.args, **{**op.kwargs, "alpha": alpha})


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


def together(scene: Scene) -> Iterator[Hypothesis]:
    """What concerns several calls."""
    yield from averages(scene)
    yield from decays(scene)


FAMILY = Family("averages", {}, together)
