"""Values in a module's own code: lost, replaced by another one of the same shape, conjugated, normalised too late."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op, Replace
from parity.explain.family import Family
from parity.explain.scene import Scene, mismatch
from parity.explain.suspect import Hypothesis, Suspect, at
from parity.report import Cause
from parity.tolerance import MODULE_BOUND, SAME_VALUES

MOST_CALLS = 40
"""Calls in a module for whose arguments others are tried."""

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
NORMALISING = ("log_softmax", "softmax", "logsumexp")


def particular(scene: Scene) -> Iterator[Hypothesis]:
    """Values whose loss has a name."""
    for op in scene.suspected:
        if isinstance(op.result, Tensor) and op.result.is_complex():
            yield at(op, "complex-conjugate", lambda o: o.again().conj(), "the conjugate")
            for place, value in enumerate(op.args[:2]):
                if isinstance(value, Tensor) and value.is_complex():
                    detail = f"argument {place + 1} conjugated"
                    yield at(op, "complex-conjugate", lambda o, p=place: _with(o, p, o.args[p].conj()), detail)
        if op.name in NORMALISING:
            yield from _sliced_late(op, scene.suspected)
    yield from _states(scene)


def _sliced_late(op: Op, ops: tuple[Op, ...]) -> Iterator[Hypothesis]:
    """A part of an axis taken after it was normalised, in place of before."""
    cut = next((o for o in ops if o.name == "getitem" and o.result is op.args[0]), None)
    if cut is not None:
        index = cut.args[1]
        late: dict[int, Replace] = {cut.index: lambda o: o.args[0], op.index: lambda o: o.again()[index]}
        yield Suspect("vocab-padding-softmax", op.owner, "the normaliser counts what is cut off", late)


def _states(scene: Scene) -> Iterator[Hypothesis]:
    """The state that a recurrent layer is handed, lost."""
    for op in scene.ops:
        if op.name in RECURRENT and op.given.get("hx") is not None:
            hx = op.given["hx"]
            detail = "the state starts from zero"
            zeros: Replace = lambda o: o.again(hx=_zeros(o.given["hx"]))  # noqa: E731  # one expression
            if any(bool(h.any()) for h in (hx if isinstance(hx, tuple | list) else (hx,)) if isinstance(h, Tensor)):
                yield Suspect("rnn-state-reset", scene.name, detail, {op.index: zeros})


def _zeros(hx: Any) -> Any:
    return tuple(map(torch.zeros_like, hx)) if isinstance(hx, tuple | list) else torch.zeros_like(hx)


def confused(scene: Scene) -> Iterator[Hypothesis]:
    """Another value of the same shape in the place of an argument, or nothing in the place of a result."""
    ops = [op for op in scene.suspected if not op.name.startswith(("get ", "_"))][:MOST_CALLS]
    for op in ops:
        if isinstance(op.result, Tensor) and op.result.is_floating_point():
            yield at(op, "value-lost", lambda o: torch.zeros_like(o.again()), f"the result of {op.name} is zero")
            yield at(op, "value-lost", lambda o: torch.ones_like(o.again()), f"the result of {op.name} is one")
    for op in ops:
        for place, value in enumerate(op.args):
            if not isinstance(value, Tensor) or not value.is_floating_point() or value.ndim == 0:
                continue
            for other in itertools.takewhile(lambda o, own=op: o.index < own.index, ops):
                same = isinstance(other.result, Tensor) and other.result.shape == value.shape
                if same and other.result is not value and other.result.dtype == value.dtype:
                    memory: list[Tensor] = []
                    swap: dict[int, Replace] = {
                        other.index: lambda o, m=memory: _kept(o, m),
                        op.index: lambda o, p=place, m=memory: _with(o, p, m[-1]),
                    }
                    detail = f"the result of {other.name} in place of argument {place + 1} of {op.name}"
                    yield Suspect("wrong-variable", op.owner, detail, swap)


def returned(scene: Scene) -> Iterator[Cause]:
    """Outputs that are another value of the reference: one from before or after its last change."""
    if scene.check != "forward":
        return
    wrong = {n: v for n, v in scene.observed.items() if mismatch({n: v}, scene.expected) > MODULE_BOUND}
    found: dict[str, str] = {}
    for name, value in wrong.items():
        for text, other in _known(scene):
            alike = other.shape == value.shape and mismatch({name: value}, {name: other}) <= SAME_VALUES
            if alike and name not in found and np.ptp(other) > 0:
                found[name] = text
    if wrong and len(found) == len(wrong) < len(scene.observed):
        detail = "; ".join(f"{text} is put out as {name}" for name, text in found.items())
        yield Cause("wrong-variable", scene.name or scene.kind, detail, 1.0)


def _known(scene: Scene) -> Iterator[tuple[str, np.ndarray]]:
    """Every floating array that a run of the reference has: what it is given, and what its calls give."""
    for leaf, value in scene.inputs.items():
        if value.dtype.kind == "f" and value.size > 1:
            yield f"argument {leaf.removeprefix('input')}", value
    for op in scene.ops:
        if isinstance(op.result, Tensor) and op.result.is_floating_point() and op.result.numel() > 1:
            yield f"the result of {op.name}", op.result.detach().numpy()


def _kept(op: Op, memory: list[Tensor]) -> Any:
    memory.append(op.again())
    return memory[-1]


def _with(op: Op, place: int, value: Any) -> Any:
    args = list(op.args)
    args[place] = value
    return op.function(*args, **op.kwargs)


FAMILY = Family("values", {}, particular)

CONFUSIONS = Family("confusions", {}, confused)
"""Tried where nothing with a name explains an error."""
