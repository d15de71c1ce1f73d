"""Arithmetic in somebody's own `forward`: constants, signs, lost and exchanged operands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.pattern import added, factor
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, at, dialled

MOST_FACTORS = 80
"""Calls that are tried with a factor."""

TINY = 1e-2
"""A constant added below this is there to keep a divisor from zero."""


def constant(op: Op) -> Iterator[Hypothesis]:
    """A number in the code that has another value."""
    for place, value in enumerate(op.args[:2]):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            continue
        cause, positive = "constant-differs", value > 0
        other = op.args[1 - place] if len(op.args) > 1 else None
        if op.name in ("add", "clamp") and 0 < value < TINY:
            cause = "norm-epsilon"
        elif op.name in ("rpow", "pow") and value > 100:
            cause = "rope-base"
        elif op.name == "mul" and isinstance(other, Tensor) and "Embedding" in str(other.grad_fn):
            cause = "embedding-scale"
        guesses = (value / 2, value * 2, 1.0, *((1e-5, 1e-6, 1e-8, 1e-12, 1e-3) if cause == "norm-epsilon" else ()))
        guesses = (*guesses, *((1e4, 5e5, 1e6, 1e5) if cause == "rope-base" else ()))
        name = "eps" if cause == "norm-epsilon" else f"constant of {op.name}"
        yield dialled(op, cause, name, float(value), guesses, lambda o, v, p=place: _with(o, p, v), positive=positive)


def binary(op: Op) -> Iterator[Hypothesis]:
    """Sums, differences and products of two arrays."""
    yield from constant(op)
    tensors = [i for i, a in enumerate(op.args[:2]) if isinstance(a, Tensor) and a.is_floating_point()]
    if len(tensors) < 2 or op.args[0] is op.args[1]:
        return
    a, b = op.args[:2]
    for place in (0, 1):
        if (a, b)[place].shape == op.result.shape:
            yield at(
                op, "operand-dropped", lambda o, p=place: o.args[p] * 1, f"argument {2 - place} of {op.name} is lost"
            )
    if op.name == "mul":
        for place in (0, 1):
            detail = f"1 is added to argument {place + 1} of mul"
            yield at(op, "norm-scale-offset", lambda o, p=place: _with(o, p, o.args[p] + 1), detail)
    if op.name in ("sub", "div", "rsub"):
        yield at(
            op,
            "operand-order",
            lambda o: o.function(o.args[1], o.args[0], **o.kwargs),
            f"{op.name} the other way round",
        )
    others: dict[str, Callable[[Any, Any], Any]] = {"add": torch.add, "sub": torch.sub, "mul": torch.mul}
    for name, function in others.items():
        if name != op.name:
            yield at(
                op, "operator-swapped", lambda o, f=function: f(o.args[0], o.args[1]), f"{name} in place of {op.name}"
            )


def negation(op: Op) -> Iterator[Hypothesis]:
    """A sign that is lost."""
    yield at(op, "sign-lost", lambda o: o.args[0] * 1, f"no {op.name}")


def small(op: Op) -> Iterator[Hypothesis]:
    """Forms that keep small numbers, and those that lose them."""
    naive = {"log1p": lambda x: torch.log(1 + x), "expm1": lambda x: torch.exp(x) - 1}[op.name]
    yield at(op, "log1p-lost", lambda o: naive(o.args[0]), "1 is added first")


def _with(op: Op, place: int, value: Any) -> Any:
    args = list(op.args)
    args[place] = value
    return op.function(*args, **op.kwargs)


def scaled(op: Op, ratios: tuple[float, ...]) -> Iterator[Hypothesis]:
    """A factor that nobody asked for on the result of a call."""
    if isinstance(op.result, Tensor) and op.result.is_floating_point():
        name, guesses = f"factor on {op.name}", (*ratios, 0.5, 2.0, -1.0)
        yield dialled(op, "constant-factor", name, 1.0, guesses, lambda o, v: o.again() * v, positive=False)


def offset(op: Op, offsets: tuple[float, ...]) -> Iterator[Hypothesis]:
    """A number that is added to the result of a call."""
    if isinstance(op.result, Tensor) and op.result.is_floating_point():
        for value in offsets:
            detail = f"{value:.6g} is added to the result of {op.name}"
            yield replace(at(op, "constant-offset", lambda o, v=value: o.again() + v, detail), measured=True)


def every(scene: Scene) -> Iterator[Hypothesis]:
    """The same for all calls, beginning with what the outputs that differ show themselves."""
    pairs = [(a, scene.observed[name]) for name, a in scene.expected.items() if name in scene.observed]
    ratios = [factor({"": a}, {"": b}) for a, b in pairs]
    some = tuple(dict.fromkeys(float(f"{ratio:.12g}") for ratio in ratios if ratio is not None and ratio))
    offsets = tuple(dict.fromkeys(float(f"{shift:.12g}") for shift in map(added, *zip(*pairs, strict=True)) if shift))
    for op in scene.suspected[:MOST_FACTORS]:
        yield from scaled(op, some)
        yield from offset(op, offsets)


FAMILY = Family(
    "arithmetic",
    {
        **dict.fromkeys(("add", "sub", "mul", "rsub", "div"), binary),
        **dict.fromkeys(("pow", "rpow", "rdiv", "maximum", "minimum"), constant),
        **dict.fromkeys(("neg", "exp", "log", "sqrt", "rsqrt", "square", "abs", "sin", "cos"), negation),
        **dict.fromkeys(("log1p", "expm1"), small),
    },
)

FACTORS = Family("factors", {}, every)
"""The last resort before a mere description."""
