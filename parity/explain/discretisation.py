"""Continuous equations in steps: x' = A x + B u over a time dt, exactly, by Euler's step, or with a simpler input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op, Replace
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect, at

CAUSE = "ssm-discretisation"


def steps(scene: Scene) -> Iterator[Hypothesis]:
    """The factor exp(dt A) of a state and the factor (exp(dt A) - 1) / A of what is put in, by other rules."""
    ops = scene.suspected
    made = {id(op.result): op for op in ops if isinstance(op.result, Tensor)}
    for op in ops:
        product = made.get(id(op.args[0])) if op.args else None
        if product is None or product.name not in ("mul", "einsum") or not _carries(op, ops):
            continue
        if op.name == "exp":
            yield at(op, CAUSE, lambda o: 1 + o.args[0], "1 + dt A, Euler's step, in place of exp(dt A)")
            detail = "(1 + dt A / 2) / (1 - dt A / 2), the bilinear step, in place of exp(dt A)"
            yield at(op, CAUSE, lambda o: (1 + o.args[0] / 2) / (1 - o.args[0] / 2), detail)
            yield from _inputs(op, product, ops)
        elif op.name == "add" and len(op.args) == 2 and type(op.args[1]) in (int, float) and op.args[1] == 1:
            yield at(op, CAUSE, lambda o: torch.exp(o.args[0]), "exp(dt A) in place of 1 + dt A, Euler's step")


def _carries(step: Op, ops: tuple[Op, ...]) -> bool:
    """Whether a factor, or a part of it, multiplies a state to which something is added."""
    parts = {id(step.result), *(id(op.result) for op in ops if op.name == "getitem" and op.args[0] is step.result)}
    for op in ops:
        if op.name in ("unbind", "chunk", "split") and op.args[0] is step.result:
            parts.update(map(id, op.result))
    kept = {id(op.result) for op in ops if op.name == "mul" and any(id(arg) in parts for arg in op.args)}
    return any(op.name == "add" and any(id(arg) in kept for arg in op.args) for op in ops)


def _inputs(step: Op, product: Op, ops: tuple[Op, ...]) -> Iterator[Hypothesis]:
    """A time dt in place of (exp(dt A) - 1) / A, or the other way round."""
    if product.name != "mul" or not all(isinstance(arg, Tensor) for arg in product.args[:2]):
        return
    less = {id(op.result) for op in ops if _less_one(op, step)}
    for op in ops:
        memory: list[Op] = []
        noted: dict[int, Replace] = {product.index: lambda o, m=memory: (m.append(o), o.again())[1]}
        for own, other in ((0, 1), (1, 0)):
            time, matrix = product.args[own], product.args[other]
            if op.name == "div" and id(op.args[0]) in less and _same(op.args[1], matrix):
                simple: Replace = lambda o, m=memory, i=own: m[-1].args[i].expand_as(o.args[0])  # noqa: E731  # one expression
                yield Suspect(CAUSE, op.owner, "dt in place of (exp(dt A) - 1) / A", {**noted, op.index: simple})
            place = next((i for i, arg in enumerate(op.args[:2]) if _same(arg, time)), None)
            if op.name == "mul" and op.index != product.index and place is not None:
                exact: Replace = lambda o, m=memory, i=other, p=place: _exact(m[-1], i) * o.args[1 - p]  # noqa: E731  # one expression
                yield Suspect(CAUSE, op.owner, "(exp(dt A) - 1) / A in place of dt", {**noted, op.index: exact})


def _less_one(op: Op, step: Op) -> bool:
    """Whether a call gives a step's factor less one."""
    taken = op.name == "sub" and type(op.args[1]) in (int, float) and op.args[1] == 1
    return (taken and _same(op.args[0], step.result)) or (op.name == "expm1" and _same(op.args[0], step.args[0]))


def _exact(product: Op, matrix: int) -> Tensor:
    """The integral of exp(t A) over a time, from the product of both."""
    return torch.expm1(product.again()) / product.args[matrix]


def _same(value: Any, other: Tensor) -> bool:
    """Whether a value is an array or has its shape and numbers."""
    if value is other:
        return True
    return isinstance(value, Tensor) and value.shape == other.shape and bool(torch.equal(value, other))


FAMILY = Family("discretisation", {}, steps)
