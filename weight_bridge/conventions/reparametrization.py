"""Weights that torch computes in each call: `weight_norm`, `spectral_norm` and parametrizations, seen as one tensor.

The old hooks keep `weight_g` and `weight_v`, or `weight_orig` with `weight_u` and `weight_v`; the new ones keep
`parametrizations.weight.original0` and `original1`, or `original` with `0._u` and `0._v`.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

from weight_bridge._errors import Misfit, MisfitError
from weight_bridge.conventions.family import dense
from weight_bridge.reparametrized import SpectralNorm, WeightNorm
from weight_bridge.units import Member, Owner, Tensors, Unit

_WEIGHTS = re.compile(r"weight|bias|in_proj_weight|weight_[ih]h(_l\d+(_reverse)?)?")
# Role of each part of a weight → what messages call it.
_LENGTH, _DIRECTION, _ORIGINAL, _LEFT, _RIGHT = "gain", "direction", "original", "left", "right"
_WRAPPERS = {"gain": "weight normalisation", "left": "spectral normalisation", "right": "spectral normalisation"}


def effective(tensors: Tensors, kept: frozenset[str]) -> Tensors:
    """Returns a checkpoint's tensors with the parts of computed weights replaced by those weights.

    Args:
      tensors: the source's.
      kept: labels that the target uses itself; parts of these names stay as they are.
    """
    owners: dict[Owner, dict[str, Member]] = {}
    for owner, members in tensors.owners.items():
        hooked = owner[-2:-1] == ("parametrizations",)
        home = owner[:-2] if hooked else owner[:-3] if owner[-3:-2] == ("parametrizations",) else owner
        for label in members:
            if hooked and home is not owner:
                name, parts = owner[-1], _registered(tensors, owner)
            elif home is not owner:
                name, parts = owner[-2], _registered(tensors, owner[:-1])
            else:
                name, parts = _hooked(members, label)
            whole = _whole(tensors, home, name, parts) if parts and not _used(parts, kept) else None
            if whole is None:
                owners.setdefault(owner, {})[label] = members[label]
            else:
                owners.setdefault(home, {})[name] = whole
    return Tensors(tensors.side, owners, tensors.layer)


def _used(parts: dict[str, Member], kept: frozenset[str]) -> bool:
    """Whether the target stores the parts under their own names."""
    return all(member.label in kept for member in parts.values())


def _hooked(members: dict[str, Member], label: str) -> tuple[str, dict[str, Member]]:
    """The weight that an old hook computes from the tensor of this label and others, and those by role."""
    name, _, suffix = label.rpartition("_")
    if suffix not in {"g", "v", "u", "orig"} or not _WEIGHTS.fullmatch(name):
        return label, {}
    if {f"{name}_orig", f"{name}_u", f"{name}_v"} <= set(members):
        return name, {_ORIGINAL: members[f"{name}_orig"], _LEFT: members[f"{name}_u"], _RIGHT: members[f"{name}_v"]}
    if {f"{name}_g", f"{name}_v"} <= set(members):
        return name, {_LENGTH: members[f"{name}_g"], _DIRECTION: members[f"{name}_v"]}
    return label, {}


def _registered(tensors: Tensors, owner: Owner) -> dict[str, Member]:
    """The parts of the weight that is parametrized at `owner`, by role; none where it is neither of the known two."""
    members, inner = tensors.owners.get(owner, {}), tensors.owners.get((*owner, "0"), {})
    if set(members) == {"original0", "original1"} and not inner:
        return {_LENGTH: members["original0"], _DIRECTION: members["original1"]}
    if set(members) == {"original"} and set(inner) == {"_u", "_v"}:
        return {_ORIGINAL: members["original"], _LEFT: inner["_u"], _RIGHT: inner["_v"]}
    return {}


def _whole(tensors: Tensors, owner: Owner, name: str, parts: dict[str, Member]) -> Member | None:
    """The weight as one tensor; None where the shapes say that it is something else."""
    made = WeightNorm() if _LENGTH in parts else SpectralNorm(_axis(tensors, owner, parts))
    specs = tuple(member.spec for member in parts.values())
    try:
        (spec,) = made.infer(specs)
    except MisfitError:
        return None
    key = ".".join((*owner, name))
    return Member(key, name, spec, tuple(m.key for m in parts.values()), made, None, tuple(parts.items()))


def _axis(tensors: Tensors, owner: Owner, parts: dict[str, Member]) -> int:
    """The axis that torch puts in front of a weight's matrix: 1 for transposed convolutions, else 0."""
    shape, rows = parts[_ORIGINAL].spec.shape, math.prod(parts[_LEFT].spec.shape)
    layer = tensors.layer(owner)
    if layer is not None and layer.known:
        return int("ConvTranspose" in layer.kind)
    return 1 if len(shape) > 2 and shape[0] != rows == shape[1] else 0


def as_kept(source: Unit, target: Unit) -> Unit:
    """Returns the source with a weight's parts in place of the weight, where the target computes it alike.

    Raises:
      Misfit: the target computes its weight, and the source does not, or does so otherwise.
    """
    wanted = [role for role in ("gain", "left", "right") if role in target.members]
    if not wanted:
        return source
    weight = source.members.get("weight")
    parts = dict(weight.parts) if weight is not None else {}
    if any(role not in parts for role in wanted):
        raise Misfit(
            f"{target.members[wanted[0]].key}: the target computes its weight by {_WRAPPERS[wanted[0]]}, "
            f"{source.main.key} is not; wrap it in torch, or unwrap the target"
        )
    if "gain" in wanted and len(parts["gain"].spec.shape) > 1 and dense(parts["gain"].spec.shape[1:]):
        raise Misfit(
            f"{parts['gain'].key}: one length for each place along another axis than the first, "
            "which the target's normalisation cannot have"
        )
    if "left" in wanted and source.layer is not None and "ConvTranspose" in source.layer.kind:
        raise Misfit(f"{parts['left'].key}: torch flattens a transposed kernel otherwise than the target")
    direction = parts[_DIRECTION if "gain" in wanted else _ORIGINAL]
    kept = {role: replace(parts[role], role=role) for role in wanted}
    return replace(source, members={**source.members, "weight": direction, **kept})
