"""Running statistics: momentum conventions, biased variance, updates that are lost or made in the wrong mode."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.suspect import Family, Hypothesis, at, dialled


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
        for other, row in ((1 - rate, "bn-momentum-inverted"), (0.01, "bn-momentum-default")):
            detail = f"momentum {other:g} in torch's terms, and a biased running variance"
            yield at(op, row, lambda o, m=other: _moved(o, biased=True, momentum=m), detail)
        if math.isclose(1 / rate, round(1 / rate)):  # one over the number of batches so far
            yield at(op, "bn-momentum-none", lambda o: o.again(momentum=0.1), "a moving average for a cumulative one")
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


FAMILY = Family("statistics", {"batch_norm": running})
