"""Loops: one round too few or too many, rows that stop together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op, Replace
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect

LONGEST_ROUND = 60
"""Calls in one round of a loop."""

LATEST_END = 6
"""Calls that may follow a loop."""

COMPARISONS = ("ge", "gt", "le", "lt", "eq", "ne")


def loops(scene: Scene) -> Iterator[Hypothesis]:
    """Rounds of a loop that a module runs in its own code."""
    found = _rounds([op for op in scene.ops if not op.name.startswith(("get ", "_"))])
    if found is not None:
        last, before = found
        fewer: dict[int, Replace] = {}
        memory: dict[int, Any] = {}
        for a, b in zip(before, last, strict=True):
            fewer[a.index] = lambda o, n=a.index: memory.setdefault(n, o.again())
            fewer[b.index] = lambda o, n=a.index, own=b: _earlier(memory, n, o)
        yield Suspect(
            "loop-bound",
            scene.name,
            "one round less",
            {**fewer, before[0].index: _cleared(memory, fewer, before[0].index)},
        )
        yield Suspect(
            "loop-bound", scene.name, "one round more", {last[-1].index: lambda o: _once_more(o, last, before)}
        )
    yield from _nucleus(scene)
    yield from _tables(scene)
    yield from _stale(scene)
    yield from _ended(scene)
    rows = {op.index: _together for op in scene.suspected if op.name in COMPARISONS and _per_row(op)}
    if rows:
        yield Suspect("batch-coupled-stop", scene.name, "all rows go on while any does", rows)
        every: dict[int, Replace] = dict.fromkeys(rows, _all_together)
        yield Suspect("batch-coupled-stop", scene.name, "all rows stop as soon as one does", every)


def _rounds(ops: list[Op]) -> tuple[list[Op], list[Op]] | None:
    """The last two rounds of a loop near the end of a module, if its calls repeat."""
    names = [op.name for op in ops]
    for end in range(len(ops), max(len(ops) - LATEST_END, 1), -1):
        for size in range(1, min(LONGEST_ROUND, end // 2) + 1):
            last, before = ops[end - size : end], ops[end - 2 * size : end - size]
            alike = names[end - size : end] == names[end - 2 * size : end - size]
            if alike and isinstance(last[-1].result, Tensor) and all(map(_alike, last, before)):
                return last, before
    return None


def _alike(a: Op, b: Op) -> bool:
    return _shape(a) == _shape(b)


def _shape(op: Op) -> Any:
    return tuple(op.result.shape) if isinstance(op.result, Tensor) else None


def _earlier(memory: dict[int, Any], index: int, op: Op) -> Any:
    return memory[index] if index in memory else op.again()


def _cleared(memory: dict[int, Any], replacements: dict[int, Replace], first: int) -> Replace:
    """Forgets an earlier recomputation before the round begins."""
    inner = replacements[first]

    def start(op: Op) -> Any:
        memory.clear()
        return inner(op)

    return start


def _once_more(op: Op, last: list[Op], before: list[Op]) -> Any:
    """Runs the round again on its own result."""
    now = op.again()
    known = {id(a.result): b.result for a, b in zip(before, last, strict=True)}
    known[id(before[-1].result)] = now
    made: dict[int, Any] = {}

    def moved(value: Any) -> Any:
        if id(value) in made:
            return made[id(value)]
        return known.get(id(value), value) if isinstance(value, Tensor) else value

    result = now
    for step in last:
        args = [[moved(v) for v in a] if isinstance(a, list | tuple) else moved(a) for a in step.args]
        result = step.function(*args, **{name: moved(value) for name, value in step.kwargs.items()})
        made[id(step.result)] = result
    return result


def _per_row(op: Op) -> bool:
    """Whether a comparison gives one flag per row of a batch."""
    return isinstance(op.result, Tensor) and op.result.ndim == 1 and len(op.result) > 1


def _together(op: Op) -> Tensor:
    found = op.again()
    return found.any().expand(found.shape)


def _all_together(op: Op) -> Tensor:
    found = op.again()
    return torch.all(found).expand(found.shape)


def _ended(scene: Scene) -> Iterator[Hypothesis]:
    """Rows of tokens that go on after their end."""
    kept: dict[int, Replace] = {}
    for op in scene.suspected:
        ids = op.name == "masked_fill" and isinstance(op.result, Tensor) and not op.result.is_floating_point()
        if ids and op.result.dtype != torch.bool:
            kept[op.index] = lambda o: o.args[0]
    if len(kept) > 1:
        yield Suspect("eos-handling", scene.name, "tokens after the end are kept", kept)


def _nucleus(scene: Scene) -> Iterator[Hypothesis]:
    """Which token ends the nucleus of a sampler: sums of sorted probabilities against a mass."""
    sums = [op for op in scene.suspected if op.name == "cumsum"]
    for op in scene.suspected:
        if op.name == "sub" and any(op.args[0] is s.result and op.args[1] is s.args[0] for s in sums):
            later = [o for o in scene.suspected if o.name in COMPARISONS and o.args[0] is op.result]
            memory: list[Tensor] = []
            cut: dict[int, Replace] = {o.index: lambda o, m=memory: _crossing(o, m[-1]) for o in later}
            cut[op.index] = lambda o, m=memory: (m.append(o.args[1]), o.again())[1]
            yield Suspect("sampling-filter", op.owner, "the token that crosses the mass is cut", cut)
            bare: dict[int, Replace] = {op.index: lambda o: o.args[0] * 1}
            yield Suspect("sampling-filter", op.owner, "the token that crosses the mass is cut, the first too", bare)


def _crossing(op: Op, own: Tensor) -> Tensor:
    """Compares with the token's own probability counted; the likeliest token always stays."""
    whole = op.function(op.args[0] + own, *op.args[1:])
    return whole & (torch.arange(whole.shape[-1]) > 0)


def _tables(scene: Scene) -> Iterator[Hypothesis]:
    """A table that a loop reads step by step: another step, and what stands beyond its ends."""
    reads = [op for op in scene.suspected if op.name == "getitem" and _entry(op)]
    tables = {id(op.args[0]): op.args[0] for op in reads}
    for key, table in tables.items():
        own = [op for op in reads if op.args[0] is table]
        if len(own) > 2:
            results = {id(op.result) for op in own}
            for end, word in ((0, "first"), (-1, "last")):
                beyond: dict[int, Replace] = {
                    op.index: lambda o, e=end, t=key: tables[t][e].expand_as(o.args[0]).clone()
                    for op in scene.suspected
                    if op.name in ("ones_like", "zeros_like") and id(op.args[0]) in results
                }
                if beyond:
                    detail = f"beyond the table stands its {word} entry"
                    yield Suspect("diffusion-step-index", scene.name, detail, beyond)
            for shift in (1, -1):
                moved: dict[int, Replace] = {op.index: lambda o, s=shift: _neighbour(o, s) for op in own}
                yield Suspect("diffusion-step-index", scene.name, f"the table is read {shift:+d} step off", moved)


def _entry(op: Op) -> bool:
    """Whether an index takes one entry of a table."""
    return isinstance(op.args[0], Tensor) and op.args[0].ndim == 1 and type(op.args[1]) is int


def _neighbour(op: Op, shift: int) -> Tensor:
    size = op.args[0].shape[0]
    return op.args[0][min(max(op.args[1] % size + shift, 0), size - 1)]


def _stale(scene: Scene) -> Iterator[Hypothesis]:
    """Weights that change between calls, seen as they were."""
    for op in scene.suspected:
        first = op.args[0] if op.args else None
        if not isinstance(first, torch.nn.Parameter) or op.name not in ("add", "sub"):
            continue
        if isinstance(op.result, Tensor) and op.result.shape == first.shape:
            old: dict[int, Replace] = {op.index: lambda o: o.args[0] * 1}
            yield Suspect("stale-closure-params", op.owner, "changed weights are seen as they were", old)


FAMILY = Family("iteration", {}, loops)
