"""Positions: rotary pairs and their extent, slopes and buckets of distance, windows that a cache holds."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op, Replace
from parity.explain.family import Family
from parity.explain.parts import with_part
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect, at
from parity.tolerance import MOVED_SINES

FEWEST_ROWS = 6
"""Fewer positions may lie on a sine by chance."""

SLOWEST = 0.5
"""Angle from one position to the next that the fastest column of a table exceeds; it is 1 in the usual ones."""


def positions(scene: Scene) -> Iterator[Hypothesis]:
    """What concerns several calls together."""
    names = {op.name for op in scene.ops}
    yield from rotation(scene)
    yield from tables(scene)
    if {"cos", "sin"} <= names:
        yield from _stretched(scene)
    if {"softmax", "tensor"} <= names:
        yield from _slopes(scene)
    if {"log", "embedding"} <= names:
        yield from _buckets(scene)
    yield from _windows(scene)


def tables(scene: Scene) -> Iterator[Hypothesis]:
    """A stored table whose neighbouring columns stand in two halves, or whose halves stand side by side."""
    for op in scene.suspected:
        for place, table in enumerate(op.args[:2]):
            stored = any(table is buffer for buffer in scene.module.buffers()) if isinstance(table, Tensor) else False
            if stored and table.is_floating_point() and table.shape[-1:].numel() % 2 == 0 and _turning(table):
                for detail, order in (
                    ("columns of a table in two halves", lambda t: torch.cat([t[..., ::2], t[..., 1::2]], -1)),
                    ("halves of a table as neighbouring columns", lambda t: t.unflatten(-1, (2, -1)).mT.flatten(-2)),
                ):
                    yield at(op, "position-halves", lambda o, p=place, f=order: _with(o, p, f(o.args[p])), detail)


def _turning(table: Tensor) -> bool:
    """Whether the columns of a table are sines and cosines along its rows, but for what weights are moved by.

    Such a column obeys x[t + 1] + x[t - 1] = 2 cos(f) x[t], whatever its phase. So do those that are constant or rise
    steadily, but in a table of positions some turn.
    """
    x = table.detach().double().squeeze()
    if x.ndim < 2 or x.shape[-2] < FEWEST_ROWS or not x.any():
        return False
    here, around = x[..., 1:-1, :], x[..., 2:, :] + x[..., :-2, :]
    twice = (here * around).sum(-2) / here.square().sum(-2).clamp_min(torch.finfo(x.dtype).tiny)
    off = (around - twice.unsqueeze(-2) * here).square().mean(-2)
    power = x.square().mean(-2)
    size = (2 + twice.square()) * power
    turns = (twice < 2 * math.cos(SLOWEST)) & (power > 0.1 * power.max())
    found = (bool(off[of].sum() <= MOVED_SINES**2 * size[of].sum()) for of in (torch.ones_like(turns), turns))
    return bool(turns.any()) and all(found)


def _with(op: Op, place: int, value: Tensor) -> object:
    return op.function(*op.args[:place], value, *op.args[place + 1 :], **op.kwargs)


def rotation(scene: Scene) -> Iterator[Hypothesis]:
    """Pairs of neighbouring features in place of halves, or the other way round, wherever halves are cut or joined."""
    ops = scene.suspected
    cut: dict[int, Replace] = {}
    sliced: dict[int, Replace] = {}
    joined: dict[int, Replace] = {}
    pairs: dict[int, Replace] = {}
    for op in ops:
        if op.name == "chunk" and isinstance(op.result, tuple | list) and len(op.result) == 2:
            cut[op.index] = lambda o: (o.args[0][..., ::2], o.args[0][..., 1::2])
        elif op.name in ("cat", "concat") and len(op.args[0]) > 1 and op.args[0][0].shape == op.args[0][1].shape:
            joined[op.index] = _interleaved
        elif op.name == "getitem" and _half(op) is not None:
            sliced[op.index] = lambda o: o.args[0][..., _half(o) :: 2]
        elif op.name == "getitem" and _stepped(op) is not None:
            pairs[op.index] = lambda o: o.args[0].chunk(2, -1)[_stepped(o) or 0]
    for halves in (cut | sliced | joined, cut | joined) if cut and sliced else (cut | sliced | joined,):
        if cut or sliced:
            owner = next(op.owner for op in ops if op.index in halves)
            yield Suspect("rope-pairing", owner, "neighbouring features are rotated in place of halves", halves)
    if pairs:
        owner = next(op.owner for op in ops if op.index in pairs)
        yield Suspect("rope-pairing", owner, "halves are rotated in place of neighbouring features", pairs)


def _interleaved(op: Op) -> Tensor:
    """The first two parts woven together, and what follows them."""
    first, second, *rest = op.args[0]
    return torch.cat([torch.stack((first, second), -1).flatten(-2), *rest], -1)


def _half(op: Op) -> int | None:
    """Which half of the last axis an index takes; None for other indices."""
    index = op.args[1] if isinstance(op.args[1], tuple) else (op.args[1],)
    last, size = index[-1], op.args[0].shape[-1]
    if not isinstance(last, slice) or last.step not in (None, 1) or size % 2:
        return None
    bounds = (last.start or 0, size if last.stop is None else last.stop)
    return {(0, size // 2): 0, (size // 2, size): 1}.get(bounds)


def _stepped(op: Op) -> int | None:
    """Whether an index takes every second feature, and from which on."""
    index = op.args[1] if isinstance(op.args[1], tuple) else (op.args[1],)
    last = index[-1]
    return (last.start or 0) if isinstance(last, slice) and last.step == 2 and last.stop is None else None


def _stretched(scene: Scene) -> Iterator[Hypothesis]:
    """Positions that are not scaled beyond a context, or all of them."""
    for op in scene.suspected:
        if op.name == "where" and len(op.args) == 3 and not op.args[0].is_floating_point():
            yield at(op, "rope-scaling-ignored", lambda o: o.given["input"], "positions count in full everywhere")
            yield at(op, "rope-scaling-ignored", lambda o: o.given["other"], "positions are scaled everywhere")


def _slopes(scene: Scene) -> Iterator[Hypothesis]:
    """Slopes per head in one geometric series, whatever the number of heads."""
    for op in scene.suspected:
        values = op.args[0] if op.name == "tensor" and op.args else None
        if isinstance(values, list | tuple) and len(values) > 1 and all(isinstance(v, float) for v in values):
            for first in (1, 0):
                series = [2.0 ** (-8.0 * (i + first) / len(values)) for i in range(len(values))]
                detail = f"slopes 2^(-8 (i + {first}) / {len(values)})"
                yield at(op, "alibi-nonpow2-heads", lambda o, s=series: o.function(s, **o.kwargs), detail)


def _buckets(scene: Scene) -> Iterator[Hypothesis]:
    """Buckets of relative distance: which sign has its own, and where exact ones end."""
    for op in scene.suspected:
        if op.name in ("gt", "lt", "ge", "le") and isinstance(op.args[1], int | float) and not op.args[1]:
            shared = "both directions share their buckets"
            yield at(op, "relpos-bucket", lambda o: torch.zeros_like(o.again()), shared)
            yield at(op, "relpos-bucket", lambda o: torch.ones_like(o.again()), shared)
            opposite = {"gt": torch.lt, "lt": torch.gt, "ge": torch.le, "le": torch.ge}[op.name]
            yield at(op, "relpos-bucket", lambda o, f=opposite: f(*o.args[:2]), "directions exchanged")
        elif op.name == "where" and len(op.args) == 3:
            yield at(op, "relpos-bucket", lambda o: o.given["other"], "no exact buckets")


def _windows(scene: Scene) -> Iterator[Hypothesis]:
    """What a cache of fixed length holds, where the reference sees a band of the last steps."""
    for op in scene.suspected:
        width = _band(op)
        if width is not None:
            yield at(op, "cache-overflow-clamp", lambda o, w=width: _clamped(o, w), "the last slot is overwritten")
            yield at(op, "cache-overflow-clamp", lambda o, w=width: _full(o, w), "steps beyond the end are not kept")
            after = (o for o in scene.suspected if o.name == "softmax" and o.args[0] is op.result)
            for softmax in after:
                missing = width - torch.logical_not(op.given["mask"]).sum(-1, keepdim=True)
                detail = "empty slots are attended to"
                yield at(softmax, "cache-unfilled-attended", lambda o, m=missing: _diluted(o, m), detail)


def _band(op: Op) -> int | None:
    """How many steps a mask of attention lets see, the own one and those before it; None for other masks."""
    mask = op.given.get("mask") if op.name == "masked_fill" else None
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        return None
    seen = torch.logical_not(mask)
    width = int(seen.sum(-1).max())
    everything = torch.ones_like(mask)
    return width if torch.equal(seen, everything.tril() & everything.triu(1 - width)) else None


def _clamped(op: Op, width: int) -> Tensor:
    steps = torch.arange(op.given["mask"].shape[0])
    kept = (steps[None, :] < width - 1) & (steps[None, :] <= steps[:, None])
    return op.again(mask=torch.logical_not(kept | torch.eye(len(steps), dtype=torch.bool)))


def _full(op: Op, width: int) -> Tensor:
    steps = torch.arange(op.given["mask"].shape[0])
    kept = (steps[None, :] < width) & (steps[None, :] <= steps[:, None])
    return op.again(mask=torch.logical_not(kept))


def _diluted(op: Op, missing: Tensor) -> Tensor:
    """A softmax that some logits of zero take part in."""
    found = op.again()
    total = torch.logsumexp(op.args[0], -1, keepdim=True)
    return found / (1 + missing * torch.exp(-total))


def window(op: Op) -> Iterator[Hypothesis]:
    """The rows of a table that is longer than what it is added to, from further on."""
    table = op.args[0]
    index = op.args[1] if isinstance(op.args[1], tuple) else (op.args[1],)
    for axis, part in enumerate(index):
        if part is None or part is Ellipsis:
            return
        rows, size = op.result.shape[axis : axis + 1], table.shape[axis : axis + 1]
        if not isinstance(part, slice) or not rows < size:
            continue
        stop = part.indices(size[0])[1]
        for start in range(1, min(2, size[0] - stop) + 1):
            moved = with_part(index, axis, slice((part.start or 0) + start, stop + start, part.step))
            detail = f"positions start at {start}"
            yield at(op, "position-offset", lambda o, i=moved: o.args[0][i], detail)


FAMILY = Family("positions", {"getitem": window}, positions)
