"""Drawn ports: whatever a port renames, nests or numbers, a plan is either right or refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st

from weight_bridge import PlanError, plan

CHILDREN = ("q_proj", "k_proj", "v_proj", "out", "up", "gate", "down", "fc1", "fc2", "attn", "norm")
FRESH = ("alpha", "beta_net", "gamma_net", "delta", "first", "second", "third", "query", "linear_in", "wide", "Dense")
PARENTS = ("encoder", "decoder", "body", "trunk", "tower")
JOINTS = ("/", "_")


@dataclass(frozen=True)
class Port:
    """A source and a target with the truth about which leaf holds which tensor."""

    source: dict[str, np.ndarray]
    target: dict[str, object]
    truth: dict[str, str]


@st.composite
def ports(draw: st.DrawFn) -> Port:
    """A stack of blocks whose children are partly of one shape; the target renames words one to one."""
    parents = draw(st.lists(st.sampled_from(PARENTS), min_size=1, max_size=2, unique=True))
    children = draw(st.lists(st.sampled_from(CHILDREN), min_size=1, max_size=5, unique=True))
    shapes = {child: draw(st.sampled_from([(7, 7), (7, 7), (5, 3), (3, 11)])) for child in children}
    renamed = draw(st.permutations(FRESH))
    keep = draw(st.lists(st.booleans(), min_size=len(children), max_size=len(children)))
    words = {c: c if kept else fresh for c, kept, fresh in zip(children, keep, renamed, strict=False)}
    halls = draw(st.permutations(("stem", "tail", *PARENTS)))
    roots = dict(zip(parents, halls, strict=False)) if draw(st.booleans()) else {p: p for p in parents}
    if set(roots.values()) & (set(parents) - {p for p in parents if roots[p] == p}):
        roots = {p: p for p in parents}
    stride = draw(st.sampled_from([1, 1, 2]))
    count = draw(st.integers(1, 4))
    prefix = draw(st.sampled_from(["", "model.", "bert."]))
    wrap, joint = draw(st.sampled_from(["", "layers/"])), draw(st.sampled_from(JOINTS))
    source: dict[str, np.ndarray] = {}
    truth: dict[str, str] = {}
    target: dict[str, object] = {}
    for parent in parents:
        for index in range(count):
            for child in children:
                name = f"{prefix}{parent}.{index * stride}.{child}.weight"
                path = f"{roots[parent]}{joint}{index}/{wrap}{words[child]}/kernel"
                source[name] = np.broadcast_to(np.float32(0), shapes[child])
                _put(target, path, np.broadcast_to(np.float32(0), shapes[child][::-1]))
                truth[path] = name
    return Port(source, target, truth)


def _put(tree: dict[str, object], path: str, array: np.ndarray) -> None:
    *folders, label = path.split("/")
    for folder in folders:
        tree = tree.setdefault(folder, {})  # type: ignore[assignment]  # a tree of dicts
    tree[label] = array


@given(ports())
def test_a_plan_is_right_or_refused(port: Port) -> None:
    try:
        found = plan(port.source, port.target)
    except PlanError:
        event("refused")
        return
    event("planned")
    assert {step.targets[0]: step.sources[0] for step in found.steps} == port.truth
