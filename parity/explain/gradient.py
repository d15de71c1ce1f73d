"""Gradients: stops that are missing or too many, conventions at kinks, backward rules that are lost."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect, at

_QUIET = ("dim", "size", "detach", "numel", "is_floating_point", "shape", "stride", "ndimension", "len")


def stops(scene: Scene) -> Iterator[Hypothesis]:
    """Stops that are missing, and stops that are too many, one call at a time."""
    for op in scene.ops:
        if op.name in ("detach", "get data") and not _straight_through(op, scene.ops):
            yield at(op, "stop-gradient-missing", lambda o: o.args[0].clone(), "the gradient is not stopped")
    switches = {op.index: _stay_on for op in scene.ops if op.name == "_set_grad_enabled"}
    if switches:
        detail = "the gradient flows through a `no_grad` block"
        yield Suspect("stop-gradient-missing", scene.name, detail, switches)
    own = {op.index for op in scene.suspected}
    for op in sorted(scene.ops, key=lambda op: op.index not in own):
        for suspect in _stopped_at(op):
            yield suspect if op.index in own else replace(suspect, where=scene.name)


def _stopped_at(op: Op) -> Iterator[Suspect]:
    """Stops at the result and at each argument of a call."""
    if op.name in _QUIET or op.name.startswith(("get ", "_")):
        return
    if isinstance(op.result, Tensor) and op.result.requires_grad:
        yield at(
            op,
            "stop-gradient-extra",
            lambda o: o.again().detach(),
            f"the gradient is stopped at the result of {op.name}",
        )
    smooth = [i for i, a in enumerate(op.args) if isinstance(a, Tensor) and a.requires_grad]
    for place in smooth:
        which = f"argument {place + 1} of " if len(smooth) > 1 else "the input of "
        detail = f"the gradient is stopped at {which}{op.name}"
        yield at(op, _stop_cause(op, place), lambda o, p=place: _stopped(o, p), detail)


def _straight_through(op: Op, ops: tuple[Op, ...]) -> bool:
    """Whether a detached difference is added to what was subtracted: the gradient of the identity."""
    for less in (o for o in ops if o.name == "sub" and o.args[1] is op.result):
        if less.args[0] is op.args[0]:  # h + (w - stop(w))
            return True
        return any(o.name == "add" and any(a is op.args[0] for a in o.args) for o in ops)  # (h + w) - stop(w)
    made = next((o for o in ops if o.result is op.args[0]), None)
    if made is None or made.name != "sub":
        return False
    added = (o for o in ops if o.name == "add" and any(a is op.result for a in o.args))
    return any(any(a is made.args[1] for a in o.args) for o in added)


def _stop_cause(op: Op, place: int) -> str:
    """A kernel that is also used elsewhere has lost its tie; other stops are just that."""
    tied = op.name == "linear" and place == 1
    return "tied-weights-untied" if tied else "stop-gradient-extra"


def _stay_on(op: Op) -> Any:
    return op.function(True)


def _stopped(op: Op, place: int) -> Any:
    args = list(op.args)
    args[place] = args[place].detach()
    return op.function(*args, **op.kwargs)


@contextmanager
def plain_functions() -> Generator[None]:
    """Custom autograd functions run their forward alone, so that its own derivative is taken."""

    def apply(cls: Any, *args: Any) -> Any:
        return cls.forward(_Context(), *args)

    with patch.object(torch.autograd.Function, "apply", classmethod(apply)):
        yield


class _Context:
    """What a custom function's forward keeps for a backward that is never called."""

    def save_for_backward(self, *tensors: Tensor) -> None:
        del tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        del tensors

    def set_materialize_grads(self, value: bool) -> None:
        del value


def absolute(op: Op) -> Iterator[Hypothesis]:
    """The derivative of |x| at 0."""

    def upward(o: Op) -> Tensor:
        return torch.where(o.args[0] >= 0, o.args[0], -o.args[0])

    yield at(op, "l1-at-zero", upward, "gradient 1 at 0")


def extremum(op: Op) -> Iterator[Hypothesis]:
    """Which of equal maxima gets the gradient."""
    dim: Any = op.given.get("dim", op.given.get("other"))
    reduce = torch.amax if "max" in op.name else torch.amin
    if isinstance(dim, Tensor):
        return

    def shared(o: Op) -> Any:
        y = o.again()
        if dim is None:
            return reduce(o.args[0])
        values = reduce(o.args[0], dim, keepdim=bool(o.given.get("keepdim", False)))
        return type(y)((values, y[1])) if isinstance(y, tuple) else values

    yield at(op, "max-tie-gradient", shared, "equal elements share the gradient")

    def single(o: Op) -> Any:
        found = torch.max(o.args[0], dim, bool(o.given.get("keepdim", False)))
        return found[0]

    if op.name == "amax" and isinstance(dim, int):
        yield at(op, "max-tie-gradient", single, "one of equal elements gets the gradient")


def length(op: Op) -> Iterator[Hypothesis]:
    """The derivative of a norm at 0."""

    def naive(o: Op) -> Tensor:
        dim = o.given.get("dim", o.kwargs.get("dim"))
        square = (
            (o.args[0] ** 2).sum() if dim is None else (o.args[0] ** 2).sum(dim, bool(o.given.get("keepdim", False)))
        )
        return square.sqrt()

    yield at(op, "norm-at-zero", naive, "the root of the sum of squares")


def product(op: Op) -> Iterator[Hypothesis]:
    """A product by way of logarithms."""

    def by_logs(o: Op) -> Tensor:
        values, *others = o.args
        dim = o.given.get("dim", others[0] if others else None)
        logarithms = torch.log(values)
        return torch.exp(logarithms.sum() if dim is None else logarithms.sum(dim))

    def signed(o: Op) -> Tensor:
        values, *others = o.args
        dim = o.given.get("dim", others[0] if others else None)
        size, sign = torch.log(values.abs()), torch.sign(values)
        return torch.exp(size.sum(dim)) * sign.prod() if dim is None else torch.exp(size.sum(dim)) * sign.prod(dim)

    yield at(op, "prod-via-log", by_logs, "exp(sum(log(x)))")
    yield at(op, "prod-via-log", signed, "exp(sum(log|x|)) with its sign")


class _NaivePower(torch.autograd.Function):
    """x ** n with the derivative n x ** (n - 1) at 0 too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, n: Tensor) -> Tensor:
        ctx.save_for_backward(x, n)
        return x**n

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        x, n = ctx.saved_tensors
        return (gradients[0] * n * x ** (n - 1.0)).sum_to_size(x.shape), None


def power(op: Op) -> Iterator[Hypothesis]:
    """The derivative of a zeroth power at 0."""

    def naive(o: Op) -> Any:
        base, exponent = o.args[:2]
        return _NaivePower.apply(base, torch.as_tensor(exponent, dtype=base.dtype))

    if isinstance(op.args[0], Tensor):
        yield at(op, "pow-zero-exponent", naive, "n x ** (n - 1), which is NaN at 0 for n = 0")


FAMILY = Family(
    "gradient",
    {
        "abs": absolute,
        **dict.fromkeys(("max", "min", "amax", "amin"), extremum),
        **dict.fromkeys(("norm", "vector_norm", "linalg_norm", "linalg_vector_norm"), length),
        "prod": product,
        "pow": power,
    },
)


def backward_rules(scene: Scene) -> Iterator[Hypothesis]:
    """Derivatives that are not those of the formula, lost."""
    yield Suspect("custom-backward-dropped", scene.name, "the backward rule is lost", around=plain_functions)
    for op in scene.ops:
        if op.name in ("detach", "get data") and _straight_through(op, scene.ops):
            detail = "the gradient is not stopped, so that none passes"
            yield at(op, "straight-through-lost", lambda o: o.args[0].clone(), detail)


RULES = Family("rules", {}, backward_rules)
"""Only gradients show these, and another function of the same gradient is no likelier."""

STOPS = Family("stops", {}, stops)
"""Only gradients show these."""
