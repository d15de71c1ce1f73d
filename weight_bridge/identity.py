"""Plans for what was converted before: each leaf takes the array that was stored under its own path, as it is."""

from __future__ import annotations

from collections import Counter

from weight_bridge._dtypes import kind
from weight_bridge._errors import PlanError
from weight_bridge.checkpoint import Checkpoint
from weight_bridge.mapping import pattern_matches
from weight_bridge.plan import Ignored, Plan, Step, Unfilled, natural
from weight_bridge.planner import Allowance
from weight_bridge.spec import Spec
from weight_bridge.structure import Leaf, Target
from weight_bridge.transforms import IDENTITY, Cast, chain
from weight_bridge.tree import leaf_at


def is_converted(checkpoint: Checkpoint, target: Target) -> bool:
    """Returns whether a checkpoint holds leaves by path: it says so, or its names are the target's very paths."""
    same = set(checkpoint.tensors) == {leaf.path for leaf in target.leaves}
    return checkpoint.converted or (same and any("/" in name for name in checkpoint.tensors))


def identity_plan(checkpoint: Checkpoint, target: Target, allowance: Allowance) -> Plan:
    """Returns the plan that takes every leaf from its own path, a collection in front (`params/`) or not.

    Args:
      checkpoint: leaves by path.
      target: leaves to fill.
      allowance: what may stay unused or unfilled, and the dtype to cast to.

    Raises:
      PlanError: leaves are missing, strange, or of another shape or kind; all are listed.
    """
    places = _places(checkpoint)
    steps: list[Step] = []
    unfilled: list[Unfilled] = []
    problems: list[str] = []
    for leaf in target.leaves:
        name = leaf.path if leaf.path in checkpoint.tensors else places.get((leaf.owner, leaf.label))
        pattern = next((p for p in allowance.missing if pattern_matches(p, leaf.path)), None)
        if name is not None:
            steps.append(_step(name, leaf, checkpoint.tensors[name].spec, allowance))
            problems += _misfit(leaf, checkpoint.tensors[name].spec)
        elif pattern:
            unfilled.append(Unfilled(leaf.path, f"allowed by {pattern!r}"))
        else:
            problems.append(f"{leaf.path} {leaf.spec}: not there; --allow-missing '{leaf.path}' leaves it empty")
    used = {name for step in steps for name in step.sources}
    ignored: list[Ignored] = []
    for name in [name for name in checkpoint.tensors if name not in used]:
        if pattern := next((p for p in allowance.drop if pattern_matches(p, name)), None):
            ignored.append(Ignored(name, f"dropped by {pattern!r}"))
        else:
            problems.append(f"{name}: the target has no such leaf; --drop '{name}' leaves it out")
    if problems:
        raise PlanError(f"{checkpoint.origin} does not hold the leaves of {target.origin}", problems)
    steps.sort(key=lambda step: natural(step.targets[0]))
    return Plan((checkpoint.origin, target.origin), tuple(steps), tuple(ignored), tuple(unfilled))


def _places(checkpoint: Checkpoint) -> dict[tuple[tuple[str, ...], str], str]:
    """Owner and label → path, where there is only one such."""
    leaves = [leaf_at(name, tensor.spec) for name, tensor in checkpoint.tensors.items()]
    counts = Counter((leaf.owner, leaf.label) for leaf in leaves)
    return {(leaf.owner, leaf.label): leaf.path for leaf in leaves if counts[leaf.owner, leaf.label] == 1}


def _step(name: str, leaf: Leaf, spec: Spec, allowance: Allowance) -> Step:
    casts = allowance.dtype is not None and kind(spec.dtype) == "float" and spec.dtype != allowance.dtype
    transform = chain(IDENTITY, Cast(allowance.dtype)) if casts and allowance.dtype else IDENTITY
    why = "the same path in a converted checkpoint"
    return Step((name,), (leaf.path,), transform, "proved", why, (spec,), transform.infer((spec,)))


def _misfit(leaf: Leaf, spec: Spec) -> list[str]:
    """Why an array does not belong into a leaf, if so."""
    if spec.shape != leaf.spec.shape:
        return [f"{leaf.path}: expected shape {list(leaf.spec.shape)}, got {list(spec.shape)}"]
    if kind(spec.dtype) != kind(leaf.spec.dtype):
        return [f"{leaf.path}: expected {leaf.spec.dtype}, got {spec.dtype}; kinds are never converted"]
    return []
