"""In-place updates: writes that are lost, writes through views, duplicates in an indexed update."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect, at


def updates(scene: Scene) -> Iterator[Hypothesis]:
    """Every write of a scene, lost or made otherwise."""
    for op in scene.suspected:
        name = str(getattr(op.function, "__name__", ""))
        if op.name == "setitem":
            yield at(op, "discarded-functional-update", lambda o: None, "the write is lost")
            if isinstance(op.args[1], Tensor) and not op.args[1].is_floating_point() and op.args[1].dtype != torch.bool:
                yield at(op, "duplicate-index-add", _accumulated, "duplicates add up")
        elif name.endswith("_") and not name.startswith("_") and op.args and isinstance(op.args[0], Tensor):
            view = op.args[0]._is_view()  # pyright: ignore[reportPrivateUsage]  # torch has no public word for it
            cause = "view-aliasing-lost" if view else "discarded-functional-update"
            detail = "the write does not reach the base of the view" if view else "the write is lost"
            yield Suspect(cause, op.owner, detail, {op.index: _elsewhere})


def _elsewhere(op: Op) -> Any:
    """The write on a copy."""
    return op.function(op.args[0].clone(), *op.args[1:], **op.kwargs)


def _accumulated(op: Op) -> None:
    """What is added to each row, added once for each time the row is named."""
    target, index, value = op.args[:3]
    difference = value - target[index]
    target.copy_(target.index_add(0, index.flatten(), difference.reshape(-1, *target.shape[1:])))


FAMILY = Family("mutation", {}, updates)
