"""Embeddings: scale, offsets of ids, padding rows, gradients by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect, at, changed, dialled


def embedding(op: Op) -> Iterator[Hypothesis]:
    """Mistakes in looking up rows."""
    weight = op.given["weight"]
    rows, width = weight.shape
    yield dialled(
        op, "embedding-scale", "factor on the rows", 1.0, (width**0.5, width**-0.5), lambda o, s: o.again() * s
    )
    for offset in (1, 2, -1, -2):
        detail = f"rows shifted by {offset}"
        yield at(op, "position-offset", lambda o, n=offset: _shifted(o, n), detail)
    padding = op.given.get("padding_idx")
    if padding is not None:
        place = int(padding) % rows
        yield at(op, "embedding-padding-row", lambda o: _blanked(o, place), f"row {place} is zero")
        yield changed(op, "embedding-padding-grad", "padding_idx", None, f"row {place} gets a gradient")
    else:
        yield at(op, "embedding-padding-row", lambda o: _blanked(o, 0), "row 0 is zero")
        yield at(op, "embedding-padding-grad", lambda o: o.again(padding_idx=0), "row 0 gets no gradient")
    if op.given.get("max_norm") is not None:
        yield at(
            op, "embedding-max-norm", lambda o: F.embedding(o.given["input"], o.given["weight"]), "max_norm is ignored"
        )
    if op.given.get("scale_grad_by_freq"):
        yield changed(op, "embedding-grad-scaling", "scale_grad_by_freq", False)
    yield at(
        op, "ids-low-precision", lambda o: o.again(input=_rounded(o.given["input"], rows)), "ids pass through bfloat16"
    )


def bag(op: Op) -> Iterator[Hypothesis]:
    """Padding in the mean of a bag."""
    if op.kwargs.get("padding_idx") is not None:
        yield changed(op, "bag-mean-padding", "padding_idx", None, "padding counts")
    for mode in ("sum", "mean", "max"):
        if mode != op.kwargs.get("mode"):
            yield changed(op, "bag-mode", "mode", mode)


def _blanked(op: Op, place: int) -> Tensor:
    return torch.where(
        (op.given["input"] == place)[..., None], torch.zeros(()).to(op.given["weight"].dtype), op.again()
    )


def _rounded(ids: Tensor, rows: int) -> Tensor:
    return ids.to(torch.bfloat16).to(ids.dtype).clamp(0, rows - 1)


def counting(op: Op) -> Iterator[Hypothesis]:
    """Positions that count the padding too."""
    if op.args[0].dtype in (torch.int64, torch.int32, torch.bool):
        dim = int(op.given["dim"])
        yield at(op, "position-ids-padding", lambda o: torch.ones_like(o.again()).cumsum(dim), "padding is counted")


def defaults(op: Op) -> Iterator[Hypothesis]:
    """Another default of an optional argument."""
    other = {"zeros_like": torch.ones_like, "ones_like": torch.zeros_like, "zeros": torch.ones, "ones": torch.zeros}
    name = "ones" if op.name.startswith("zeros") else "zeros"
    yield at(op, "optional-arg-default", lambda o: other[o.name](*o.args, **o.kwargs), f"{name} in place of {op.name}")


def shifted(scene: Scene) -> Iterator[Hypothesis]:
    """Ids that a layer is handed shifted, although the layer is right by itself."""
    own = {op.index for op in scene.suspected}
    for op in scene.ops:
        if op.name == "embedding" and op.index not in own:
            for offset in (1, 2, -1, -2):
                detail = f"ids of {op.owner} shifted by {offset}"
                yield Suspect("position-offset", scene.name, detail, {op.index: lambda o, n=offset: _shifted(o, n)})


def _shifted(op: Op, offset: int) -> Any:
    return op.again(input=(op.given["input"] + offset).clamp(0, op.given["weight"].shape[0] - 1))


FAMILY = Family(
    "embedding",
    {
        "embedding": embedding,
        "embedding_bag": bag,
        "cumsum": counting,
        **dict.fromkeys(("zeros_like", "ones_like", "zeros", "ones"), defaults),
    },
    shifted,
)
