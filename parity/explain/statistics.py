"""Running statistics: momentum conventions, biased variance, updates that are lost or made in the wrong mode."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect, at, dialled


def running(op: Op) -> Iterator[Hypothesis]:
    """Mistakes that the buffers show after a call."""
    if op.given.get("running_mean") is None:
        return
    momentum = op.given.get("momentum")
    rate = 0.1 if momentum is None else float(momentum)

    def cause(value: float) -> str:
        if math.isclose(value, 1 - rate, rel_tol=1e-6):
            return "bn-momentum-inverted"
        if math.isclose(value, 0.01, rel_tol=1e-6):
            return "bn-momentum-default"
        return "bn-momentum"

    if op.given.get("training"):
        guesses = (1 - rate, 0.01, 0.1, 0.9, 0.99, 0.001)
        yield dialled(op, cause, "momentum", rate, guesses, lambda o, m: o.again(momentum=m))
        yield at(op, "bn-running-var-biased", lambda o: _moved(o, biased=True), "the running variance is biased")
        yield at(op, "bn-state-not-written", _unmoved, "the statistics are not updated")
        biased, also = partial(_moved, biased=True), "the running variance is biased too"
        yield dialled(op, cause, "momentum", rate, guesses, lambda o, m: biased(o, momentum=m), detail=also)
        for parts in (2, 4, 8):
            if op.given["input"].shape[0] % parts == 0:
                detail = f"statistics of {parts} shards apart"
                yield at(op, "bn-sync-missing", lambda o, n=parts: _sharded(o, n), detail)
    else:
        yield at(op, "bn-frozen-still-updates", _moved_in_eval, "the statistics are updated in eval mode")
        yield at(op, "bn-frozen-still-updates", lambda o: o.again(training=True), "it works as in train mode")


def _moved(op: Op, *, biased: bool = False, momentum: float | None = None) -> Any:
    """Batch norm with its running statistics updated otherwise."""
    x: Tensor = op.given["input"]
    mean, var = op.given["running_mean"], op.given["running_var"]
    rate = float(op.given.get("momentum") or 0.1) if momentum is None else momentum
    axes = (0, *range(2, x.ndim))
    result = op.again(running_mean=None, running_var=None, training=True)
    with torch.no_grad():
        mean.copy_((1 - rate) * mean + rate * x.mean(axes))
        var.copy_((1 - rate) * var + rate * x.var(axes, correction=0 if biased else 1))
    return result


def _moved_in_eval(op: Op) -> Any:
    result = op.again(running_mean=op.given["running_mean"].clone(), running_var=op.given["running_var"].clone())
    _moved(op)
    return result


def _sharded(op: Op, parts: int) -> Tensor:
    """The batch in parts, each with statistics of its own."""
    x: Tensor = op.given["input"]
    return torch.cat([op.again(input=part) for part in x.chunk(parts)])


def _unmoved(op: Op) -> Any:
    return op.again(running_mean=op.given["running_mean"].clone(), running_var=op.given["running_var"].clone())


def cumulative(scene: Scene) -> Iterator[Hypothesis]:
    """A moving average for a cumulative one, which counts its batches."""
    norm = scene.module
    if not isinstance(norm, torch.nn.modules.batchnorm._BatchNorm) or norm.momentum is not None or not norm.training:  # pyright: ignore[reportPrivateUsage]  # the base of all of them
        return
    for momentum in (0.1, 0.01, 0.9):
        detail = f"a moving average of momentum {momentum:g}, in torch's terms, for the average over all batches"
        for biased in (False, True):
            word = f"{detail}{', and a biased running variance' if biased else ''}"
            forward = partial(_moving, norm, momentum=momentum, biased=biased)
            yield Suspect("bn-momentum-none", scene.name, word, forward=forward)


def _moving(norm: Any, x: Tensor, *, momentum: float, biased: bool) -> Tensor:
    """Batch norm with a moving average, which does not count."""
    axes = (0, *range(2, x.ndim))
    mean, var = norm.running_mean, norm.running_var
    result = F.batch_norm(x, None, None, norm.weight, norm.bias, True, 0.0, norm.eps)
    with torch.no_grad():
        mean.copy_((1 - momentum) * mean + momentum * x.mean(axes))
        var.copy_((1 - momentum) * var + momentum * x.var(axes, correction=0 if biased else 1))
    return result


def unwritten(scene: Scene) -> Iterator[Hypothesis]:
    """Neither the statistics nor the number of batches are written back."""
    norms = [op for op in scene.suspected if op.name == "batch_norm" and op.given.get("training")]
    for norm in norms:
        counts = {op.index: _on_a_copy for op in scene.suspected if _counts(op) and op.owner == norm.owner}
        if counts and norm.given.get("running_mean") is not None:
            detail = "neither the statistics nor the number of batches are updated"
            yield Suspect("bn-state-not-written", norm.owner, detail, {norm.index: _unmoved, **counts})


def uncounted(scene: Scene) -> Iterator[Hypothesis]:
    """The number of batches stays as it is, and the statistics do not."""
    for op in scene.suspected:
        norm = any(o.name == "batch_norm" and o.owner == op.owner for o in scene.suspected)
        if _counts(op) and norm:
            yield at(op, "bn-batches-uncounted", _on_a_copy, "the number of batches is not counted")


def _counts(op: Op) -> bool:
    """Whether a call adds one in place."""
    return (
        getattr(op.function, "__name__", "") == "add_"
        and len(op.args) == 2
        and type(op.args[1]) is int
        and op.args[1] == 1
    )


def _on_a_copy(op: Op) -> Any:
    return op.function(op.args[0].clone(), *op.args[1:], **op.kwargs)


def together(scene: Scene) -> Iterator[Hypothesis]:
    """What concerns several calls, or the norm as a whole."""
    yield from cumulative(scene)
    yield from uncounted(scene)
    yield from unwritten(scene)


FAMILY = Family("statistics", {"batch_norm": running}, together)
