"""Dropout on the same random numbers: rate, scale, what is dropped together, in which mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Setting, at, dialled
from parity.noise import stretched

MOST_AXES = 4
"""Of arrays whose ways to share a mask are tried."""


def dropout(op: Op) -> Iterator[Hypothesis]:
    """Mistakes of dropout."""
    p, training = float(op.given.get("p", 0.5)), bool(op.given.get("training", True))
    if not training:
        setting = Setting("training", False, True)
        yield at(op, "dropout-in-eval", lambda o: o.again(training=True), "dropout in eval mode", setting)
        yield at(op, "dropout-eval-scaled", lambda o: o.args[0] * (1 - p), "scaled by 1 - p in eval mode")
        return
    yield at(
        op,
        "dropout-keep-vs-drop",
        lambda o: o.again(p=1 - p),
        "p is the probability of keeping",
        Setting("p", p, 1 - p),
    )
    yield at(op, "dropout-no-rescale", lambda o: o.again() * (1 - p), "what is kept is not scaled up")
    yield at(op, "dropout-missing", lambda o: o.args[0], "nothing is dropped")
    yield dialled(op, "dropout-rate", "p", p, (0.1, 0.2, 0.25, 0.3, 0.5), lambda o, r: o.again(p=min(r, 0.999999)))
    yield from granularity(op, 1 - p)


def granularity(op: Op, chance: float) -> Iterator[Hypothesis]:
    """Masks that are shared along other axes than the reference's."""
    x = op.args[0]
    own = list(x.shape)
    whole = op.name in ("dropout2d", "dropout3d", "feature_dropout") or (op.name == "dropout1d" and x.ndim > 2)
    if whole:
        own[2:] = [1] * (x.ndim - 2)
    for shared in _axes(x):
        shape = tuple(1 if axis in shared else size for axis, size in enumerate(x.shape))
        if list(shape) != own:
            detail = (
                f"one draw for all of axes {', '.join(map(str, shared))}" if shared else "single values are dropped"
            )
            compute = lambda o, s=shape: masked(o.args[0], tuple(own), s, chance)  # noqa: E731  # one expression
            yield at(op, "dropout-spatial", compute, detail)


def bernoulli(op: Op) -> Iterator[Hypothesis]:
    """A mask drawn by hand, with another size."""
    drawn, chance = op.args[0], op.args[1] if len(op.args) > 1 else op.kwargs.get("p", 0.5)
    if not isinstance(chance, float) or not isinstance(drawn, Tensor):
        return
    for shared in _axes(drawn):
        shape = tuple(1 if axis in shared else size for axis, size in enumerate(drawn.shape))
        if shape == tuple(drawn.shape):
            continue
        detail = f"one draw for all of axis {', '.join(map(str, shared))}"
        cause = "droppath-granularity" if 0 in shared else "dropout-spatial"
        yield at(op, cause, lambda o, s=shape: _drawn_again(o, s, chance), detail)


def wider(scene: Scene) -> Iterator[Hypothesis]:
    """A mask that is shared along some axes of what it multiplies, drawn along them too."""
    for op in scene.suspected:
        own, draw = _mask(op)
        if draw is None or 1 not in own[1:]:
            continue
        sizes = {
            tuple(o.result.shape): None for o in scene.suspected if o.name == "mul" and isinstance(o.result, Tensor)
        }
        for target in (t for t in sizes if len(t) == len(own) <= MOST_AXES and t != own):
            free = [axis for axis, (a, b) in enumerate(zip(own, target, strict=True)) if a == 1 < b]
            if any(a not in (1, b) for a, b in zip(own, target, strict=True)):
                continue
            cause = "droppath-granularity" if set(own[1:]) == {1} else "dropout-spatial"
            for axes in (found for count in range(len(free), 0, -1) for found in combinations(free, count)):
                shape = tuple(target[axis] if axis in axes else size for axis, size in enumerate(own))
                detail = f"draws of their own along {'axes' if len(axes) > 1 else 'axis'} {', '.join(map(str, axes))}"
                yield at(op, cause, lambda o, d=draw, s=shape: d(o, s), detail)


def _mask(op: Op) -> tuple[tuple[int, ...], Callable[[Op, tuple[int, ...]], Tensor] | None]:
    """The shape of what a call draws for a mask, and the same draw in another shape; None for other calls."""
    own = tuple(op.args[0].shape) if op.args and isinstance(op.args[0], Tensor) else ()
    if op.name == "bernoulli":
        chance = op.args[1] if len(op.args) > 1 else op.kwargs.get("p", 0.5)
        if isinstance(chance, float):
            return own, lambda o, shape: (_numbers(own, shape) < chance).to(o.args[0].dtype)
    if op.name == "dropout" and op.given.get("training", True):
        keep = 1 - float(op.given.get("p", 0.5))
        return own, lambda o, shape: masked(o.args[0], own, shape, keep)
    return own, None


def choice(op: Op) -> Iterator[Hypothesis]:
    """Rows drawn from weights: the same one more than once, or never."""
    weights, count = op.args[0], int(op.given.get("num_samples", op.args[1] if len(op.args) > 1 else 1))
    if count > 1 and not op.given.get("replacement", len(op.args) > 2 and op.args[2]):
        detail = "what was drawn may be drawn again"
        yield at(op, "sample-with-replacement", lambda o: _drawn_apart(o, count), detail)
    elif count > 1 and isinstance(weights, Tensor) and count <= weights.shape[-1]:
        yield at(op, "sample-with-replacement", lambda o: o.again(replacement=False), "nothing is drawn twice")


def _drawn_apart(op: Op, count: int) -> Tensor:
    """Each of several draws from all weights, by the largest of logarithm and Gumbel noise."""
    weights: Tensor = op.args[0]
    numbers = _numbers(tuple(weights.shape), (*weights.shape[:-1], count, weights.shape[-1]))
    return (weights.double().log().unsqueeze(-2) - torch.log(-torch.log1p(-numbers))).argmax(-1)


def _axes(x: Tensor) -> Iterator[tuple[int, ...]]:
    """Sets of axes along which a mask may be shared, small ones first."""
    long = [axis for axis in range(x.ndim) if x.shape[axis] > 1]
    for count in range(len(long) + 1 if x.ndim <= MOST_AXES else 0):
        yield from combinations(long, count)


def masked(x: Tensor, own: tuple[int, ...], shape: tuple[int, ...], chance: float) -> Tensor:
    """Dropout with a mask of a shape, from the numbers of a draw of its own shape."""
    return x * (_numbers(own, shape) < chance).to(x.dtype) / chance


def _drawn_again(op: Op, shape: tuple[int, ...], chance: float) -> Tensor:
    target = op.args[0]
    return target.copy_((_numbers(tuple(target.shape), shape) < chance).expand(target.shape))


def _numbers(own: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """One draw of the reference's shape, as the candidate gets its numbers when it asks for another."""
    drawn = torch.empty(own, dtype=torch.float64).uniform_()
    return torch.from_numpy(stretched(drawn.numpy(), shape))


def in_eval(scene: Scene) -> Iterator[Hypothesis]:
    """Dropout that goes on in evaluation mode, where the reference draws nothing that the candidate could share."""
    for op in scene.suspected:
        if not op.name.endswith("dropout") or op.given.get("training", True):
            continue
        y, p = scene.observed.get("output"), float(op.given.get("p", 0.5))
        if y is None or not 0 < p < 1:
            continue
        if y.shape == tuple(op.args[0].shape) and 0 < np.count_nonzero(y) < y.size:
            kept = torch.from_numpy(y != 0)
            detail = f"dropout in evaluation mode: each element is 0 or 1 / (1 - {p:g}) times the reference's"
            yield at(op, "dropout-in-eval", lambda o, k=kept, r=p: o.args[0] * k / (1 - r), detail)


def deviations(scene: Scene) -> Iterator[Hypothesis]:
    """A positive factor on noise of both signs, whose product is added: a deviation, or else a variance."""
    ops = scene.suspected
    for op in ops:
        if op.name != "mul" or not any(o.name == "add" and any(a is op.result for a in o.args) for o in ops):
            continue
        for place in (0, 1):
            factor, noise = op.args[place], op.args[1 - place]
            if _positive(factor) and isinstance(noise, Tensor) and bool((noise < 0).any() and (noise > 0).any()):
                for power, detail in ((0.5, "the root of the deviation"), (2.0, "the deviation squared")):
                    compute = lambda o, p=place, n=power: o.args[p] ** n * o.args[1 - p]  # noqa: E731  # one expression
                    yield at(op, "noise-std-vs-variance", compute, f"{detail}, on noise that is added")


def _positive(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 1 and bool((value > 0).all())


def by_scene(scene: Scene) -> Iterator[Hypothesis]:
    """What concerns several calls, or none that draws."""
    yield from in_eval(scene)
    yield from deviations(scene)
    yield from wider(scene)


FAMILY = Family(
    "noise",
    {
        **dict.fromkeys(
            ("dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout"), dropout
        ),
        "bernoulli": bernoulli,
        "multinomial": choice,
    },
    by_scene,
)
