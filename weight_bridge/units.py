"""Both sides cut into units: the tensors of one layer, by role, with the layer's type where it is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from weight_bridge.checkpoint import Checkpoint
from weight_bridge.names import Tokens, tokens
from weight_bridge.spec import Spec
from weight_bridge.structure import Layer, Leaf, Target

Side = Literal["source", "target"]

# What a label says its tensor is to the layer. A label that is missing here names a bare parameter or buffer.
ROLES: dict[str, str] = {
    "weight": "weight", "kernel": "weight", "w": "weight", "embedding": "weight", "embeddings": "weight",
    "scale": "weight", "gamma": "weight",
    "bias": "bias", "b": "bias", "beta": "bias", "offset": "bias",
    "running_mean": "mean", "mean": "mean", "running_var": "var", "var": "var",
}  # fmt: skip
VALUE = "value"
# Wrappers that put a name in front of everything without being part of the model.
WRAPPERS = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class Member:
    """One tensor of a unit: its torch name or target path, its label inside the layer, its spec."""

    key: str
    label: str
    spec: Spec


@dataclass(frozen=True)
class Unit:
    """One layer seen from one side, or one bare parameter.

    Args:
      side: which side it is on.
      where: the layer's place, as messages show it.
      tokens: that place as words and numbers.
      members: role → tensor. A bare parameter is a unit of its own with the role `value`.
      layer: the layer's type, where known.
      family: name of the compound convention that gathered it, if one did.
    """

    side: Side
    where: str
    tokens: Tokens
    members: Mapping[str, Member]
    layer: Layer | None = None
    family: str | None = None
    signature: object = field(init=False, compare=False, default=None)

    def __post_init__(self) -> None:
        shapes = tuple(sorted((role, member.label, member.spec.shape) for role, member in self.members.items()))
        kind = self.layer and (
            self.layer.kind,
            tuple(sorted((k, repr(v)) for k, v in self.layer.options.items() if k != "name")),
        )
        object.__setattr__(self, "signature", (self.side, shapes, kind, self.family))

    @property
    def main(self) -> Member:
        """The tensor that tells most: the weight, else the value, else any."""
        for role in ("weight", VALUE):
            if role in self.members:
                return self.members[role]
        return next(iter(self.members.values()))

    @property
    def bucket(self) -> object:
        """Equal for units that may correspond as far as extents go."""
        return self.family or tuple(sorted(size for size in self.main.spec.shape if size != 1))


def source_units(checkpoint: Checkpoint, layers: Mapping[str, Layer], names: Iterable[str]) -> list[Unit]:
    """Returns the units of the given tensors.

    Args:
      checkpoint: holds them.
      layers: torch module name → layer.
      names: those that are not settled yet.
    """
    owners: dict[tuple[str, ...], list[Member]] = {}
    for name in names:
        *owner, label = name.split(".")
        owners.setdefault(tuple(owner), []).append(Member(name, label, checkpoint.tensors[name].spec))
    found: list[Unit] = []
    for owner, members in owners.items():
        found += _cut("source", owner, members, _layer_at(layers, ".".join(owner)), ".")
    return found


def target_units(target: Target, leaves: Iterable[Leaf]) -> list[Unit]:
    """Returns the units of the given leaves of a target."""
    owners: dict[tuple[str, ...], list[Member]] = {}
    for leaf in leaves:
        owners.setdefault(leaf.owner, []).append(Member(leaf.path, leaf.label, leaf.spec))
    found: list[Unit] = []
    for owner, members in owners.items():
        found += _cut("target", owner, members, target.layers.get(owner), "/")
    return found


def _cut(side: Side, owner: tuple[str, ...], members: list[Member], layer: Layer | None, joint: str) -> list[Unit]:
    """One unit for the layer's own tensors, one for each bare parameter beside them."""
    roles: dict[str, Member] = {}
    bare: list[Member] = []
    for member in members:
        role = ROLES.get(member.label)
        if role is None or role in roles:
            bare.append(member)
        else:
            roles[role] = member
    found = [Unit(side, joint.join(owner), tokens(owner), roles, layer)] if roles else []
    for member in bare:
        place = (*owner, member.label)
        found.append(Unit(side, joint.join(place), tokens(place), {VALUE: member}, layer))
    return found


def _layer_at(layers: Mapping[str, Layer], owner: str) -> Layer | None:
    """The layer at a module name, looked up below the wrappers that a training set-up leaves in names."""
    if owner in layers or not layers:
        return layers.get(owner)
    for wrapper in WRAPPERS:
        if owner + "." == wrapper or owner.startswith(wrapper):
            return _layer_at(layers, owner[len(wrapper) :])
    return None
