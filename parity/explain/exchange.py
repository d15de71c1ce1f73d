"""Two values of one shape in each other's place: arguments, weights, modules."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import combinations

import torch
from torch import nn

from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect
from parity.record import Arrays

CAUSE = "values-exchanged"

MOST_PAIRS = 40
"""Pairs of weights that are tried."""


def exchanges(scene: Scene) -> Iterator[Hypothesis]:
    """Arguments of one shape, weights of one shape, and modules of one kind beside each other."""
    floats = {leaf: value for leaf, value in scene.inputs.items() if value.dtype.kind in "fc" and value.size > 1}
    for a, b in combinations(floats, 2):
        if floats[a].shape == floats[b].shape:
            detail = f"arguments {a.removeprefix('input')} and {b.removeprefix('input')} exchanged"
            yield Suspect(CAUSE, scene.name, detail, inputs=partial(_swapped, a, b))
    if scene.check == "forward":
        yield from [*_weights(scene), *_modules(scene)][:MOST_PAIRS]


def _swapped(a: str, b: str, arrays: Arrays) -> Arrays:
    return {a: arrays[b], b: arrays[a]}


def _weights(scene: Scene) -> Iterator[Suspect]:
    """Weights and buffers that one module holds itself."""
    owners = {op.owner for op in scene.suspected} | {scene.name}
    for name, module in scene.module.named_modules():
        full = ".".join(filter(None, (scene.name, name)))
        if full in owners and not type(module).__module__.startswith("torch.nn"):  # these have families of their own
            own = dict([*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)])
            for a, b in combinations(own, 2):
                if own[a].shape == own[b].shape and own[a].is_floating_point() and own[b].is_floating_point():
                    yield Suspect(CAUSE, full, f"{a} and {b} exchanged", around=_around([(own[a], own[b])]))


def _modules(scene: Scene) -> Iterator[Suspect]:
    """Modules of one kind, with weights of the same names and shapes, directly within one."""
    owners = {op.owner for op in scene.suspected} | {scene.name}
    for name, outer in scene.module.named_modules():
        full = ".".join(filter(None, (scene.name, name)))
        if full not in owners or isinstance(outer, nn.ModuleList | nn.Sequential):
            continue
        for (a, first), (b, second) in combinations(outer.named_children(), 2):
            held, other = (dict[str, torch.Tensor](m.state_dict(keep_vars=True)) for m in (first, second))
            alike = held.keys() == other.keys() and all(held[n].shape == other[n].shape for n in held)
            if held and alike and type(first) is type(second):
                pairs = [(held[n], other[n]) for n in held]
                yield Suspect(CAUSE, full, f"{a} and {b} exchanged", around=_around(pairs))


def _around(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> Callable[[], AbstractContextManager[None]]:
    """Tensors with each other's values for a while."""

    @contextmanager
    def edit() -> Generator[None]:
        before = [(a.data.clone(), b.data.clone()) for a, b in pairs]
        for (a, b), (x, y) in zip(pairs, before, strict=True):
            a.data.copy_(y)
            b.data.copy_(x)
        try:
            yield
        finally:
            for (a, b), (x, y) in zip(pairs, before, strict=True):
                a.data.copy_(x)
                b.data.copy_(y)

    return edit


FAMILY = Family("exchange", {}, exchanges)
