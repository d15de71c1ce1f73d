"""Integers, order and position: division, remainders, sorting, ties, shifts, cumulative sums, medians, edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op, Replace
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect, at, changed


def division(op: Op) -> Iterator[Hypothesis]:
    """Rounding towards minus infinity or towards zero."""
    mode = op.kwargs.get("rounding_mode")
    if op.name in ("floor_divide", "floordiv"):
        yield at(op, "floor-vs-trunc-division", lambda o: torch.div(*o.args[:2], rounding_mode="trunc"), "truncated")
    elif mode is not None:
        yield changed(op, "floor-vs-trunc-division", "rounding_mode", "trunc" if mode == "floor" else "floor")


def remainder(op: Op) -> Iterator[Hypothesis]:
    """The sign of a remainder."""
    other, text = (torch.remainder, "divisor") if op.name == "fmod" else (torch.fmod, "dividend")
    yield at(op, "remainder-sign", lambda o: other(*o.args[:2]), f"the sign of the {text}")


def shifting(op: Op) -> Iterator[Hypothesis]:
    """Direction and axis of a roll."""
    yield at(
        op,
        "roll-direction",
        lambda o: torch.roll(o.args[0], _negative(o.given["shifts"]), _dims(o)),
        "the other way",
    )
    yield at(op, "roll-direction", lambda o: o.args[0], "not rolled")


def _dims(op: Op) -> Any:
    """Axes of a roll; none where the flattened array is rolled."""
    dims = op.given.get("dims")
    return () if dims is None else dims


def accumulating(op: Op) -> Iterator[Hypothesis]:
    """Exclusive and reversed cumulative sums."""
    dim = op.given["dim"]
    if op.name == "cumsum":
        yield at(op, "cumsum-kind", lambda o: o.again() - o.args[0], "exclusive")
    yield at(op, "cumsum-kind", lambda o: o.function(o.args[0].flip(dim), dim).flip(dim), "from the end")
    for axis in range(op.args[0].ndim):
        if axis != dim % op.args[0].ndim:
            yield changed(op, "cumsum-kind", "dim", axis)


def flipping(op: Op) -> Iterator[Hypothesis]:
    """A flip that is lost."""
    yield at(op, "flip-missing", lambda o: o.args[0], "not flipped")


def middle(op: Op) -> Iterator[Hypothesis]:
    """The median of an even number of values."""
    dim = op.given.get("dim")

    def averaged(o: Op) -> Any:
        y = o.again()
        x = o.args[0].flatten() if dim is None else o.args[0]
        values = torch.quantile(x, 0.5, 0 if dim is None else dim, keepdim=bool(o.given.get("keepdim", False)))
        return type(y)((values, y[1])) if isinstance(y, tuple) else values

    yield at(op, "median-even", averaged, "the two middle values are averaged")


def edges(op: Op) -> Iterator[Hypothesis]:
    """The bin of a value on an edge."""
    yield changed(op, "bucketize-side", "right", not op.kwargs.get("right", False))


def ordering(op: Op) -> Iterator[Hypothesis]:
    """Direction of a sort, and the order of equal keys under a flipped ascending one."""
    descending = bool(op.given.get("descending", False))
    yield changed(op, "sort-direction", "descending", not descending)

    def flipped(o: Op) -> Any:
        found = o.again(descending=not descending)
        dim = o.given.get("dim", -1)
        return found.flip(dim) if isinstance(found, Tensor) else type(found)(part.flip(dim) for part in found)

    yield at(op, "argsort-descending-flip", flipped, "an ascending sort, flipped")
    negated = lambda o: o.function(-o.args[0], *o.args[1:], **{**o.kwargs, "descending": not descending})  # noqa: E731  # one expression
    yield at(op, "negated-key-sort", negated, "the keys are negated: NaN and the smallest integer change sides")
    yield at(op, "negated-key-sort", lambda o: _nan_last(o, descending), "the keys are negated, NaN counts as last")
    if op.name == "argsort":
        yield at(op, "inverse-permutation", lambda o: torch.argsort(o.again()), "the inverse permutation")


def _nan_last(op: Op, descending: bool) -> Any:
    """An order of negated keys in which NaN is last, as NumPy's and JAX's is."""
    keys, dim = -op.args[0] if descending else op.args[0], int(op.given.get("dim", -1))
    order = torch.where(torch.isnan(keys), torch.inf, keys).argsort(dim=dim, stable=True)
    unknown = torch.isnan(keys).gather(dim, order).long()
    order = order.gather(dim, unknown.argsort(dim=dim, stable=True))
    return order if op.name == "argsort" else type(op.again())((op.args[0].gather(dim, order), order))


def _kept(op: Op, memory: list[Tensor]) -> Tensor:
    memory.append(op.again())
    return memory[-1]


def leaking(scene: Scene) -> Iterator[Hypothesis]:
    """A bias of the selection that weighs what is selected too."""
    for top in (op for op in scene.suspected if op.name == "topk"):
        made = next((op for op in scene.suspected if op.name == "add" and op.result is top.args[0]), None)
        if made is None:
            continue
        for op in scene.suspected:
            if op.name in ("gather", "take_along_dim", "getitem") and any(op.args[0] is a for a in made.args):
                memory: list[Tensor] = []
                swap: dict[int, Replace] = {
                    made.index: lambda o, m=memory: _kept(o, m),
                    op.index: lambda o, m=memory: o.function(m[-1], *o.args[1:], **o.kwargs),
                }
                detail = "what is added for the selection weighs the outputs too"
                yield Suspect("moe-selection-bias-leak", op.owner, detail, swap)


def rounding(op: Op) -> Iterator[Hypothesis]:
    """Which way values are rounded."""
    forms = {
        "floor": torch.floor,
        "ceil": torch.ceil,
        "trunc": torch.trunc,
        "half up": lambda x: torch.floor(x + 0.5),
        "half away from zero": lambda x: torch.sign(x) * torch.floor(x.abs() + 0.5),
        "half to even": torch.round,
    }
    own = {"round": "half to even", "floor": "floor", "ceil": "ceil", "trunc": "trunc"}[op.name]
    for name, form in forms.items():
        if name != own:
            yield at(op, "rounding-mode", lambda o, f=form: f(o.args[0]), f"{name} in place of {own}")


def _negative(shifts: Any) -> Any:
    return tuple(-s for s in shifts) if isinstance(shifts, tuple | list) else -shifts


FAMILY = Family(
    "discrete",
    {
        **dict.fromkeys(("floor_divide", "floordiv", "div"), division),
        **dict.fromkeys(("remainder", "fmod", "mod"), remainder),
        "roll": shifting,
        **dict.fromkeys(("cumsum", "cumprod"), accumulating),
        "flip": flipping,
        "median": middle,
        "bucketize": edges,
        **dict.fromkeys(("sort", "argsort"), ordering),
        **dict.fromkeys(("round", "floor", "ceil", "trunc"), rounding),
    },
    leaking,
)
