"""Both sides cut into units: the tensors of one layer, by role, with the layer's type where it is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from weight_bridge.checkpoint import Checkpoint
from weight_bridge.names import Tokens, numbered, tokens
from weight_bridge.spec import Spec
from weight_bridge.structure import Layer, Leaf, Target
from weight_bridge.transforms import IDENTITY, Transform

Side = Literal["source", "target"]
Owner = tuple[str, ...]

# What a label says its tensor is to the layer. A label that is missing here names a bare parameter or buffer.
ROLES: dict[str, str] = {
    "weight": "weight", "kernel": "weight", "w": "weight", "embedding": "weight", "embeddings": "weight",
    "scale": "weight", "gamma": "weight", "negative_slope": "weight",
    "bias": "bias", "b": "bias", "beta": "bias", "offset": "bias",
    "running_mean": "mean", "mean": "mean", "running_var": "var", "var": "var",
}  # fmt: skip
VALUE = "value"
# Wrappers that put a name in front of everything without being part of the model.
WRAPPERS = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class Member:
    """One tensor of a unit.

    Args:
      key: its torch name or target path; of a tensor that torch computes in each call, the name it has as attribute.
      label: its name inside the layer.
      spec: its shape and dtype.
      inputs: names of the tensors that it is computed from, if it is.
      made: how it is computed from them.
      role: what it is to the layer, where the label does not say.
      parts: role → tensor, of what it is computed from, for targets that compute it alike.
    """

    key: str
    label: str
    spec: Spec
    inputs: tuple[str, ...] = ()
    made: Transform = IDENTITY
    role: str | None = None
    parts: tuple[tuple[str, Member], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every tensor of the checkpoint, or leaf of the target, that it stands for."""
        return self.inputs or (self.key,)


@dataclass(frozen=True)
class Tensors:
    """One side's tensors that are not settled yet, by owner and label.

    Args:
      side: which side it is.
      owners: module path → label → tensor, in the side's order.
      layer: module path → its layer's type, where known.
    """

    side: Side
    owners: dict[Owner, dict[str, Member]]
    layer: Callable[[Owner], Layer | None]


@dataclass(frozen=True)
class Unit:
    """One layer seen from one side, or one bare parameter, or several layers that go together.

    Args:
      side: which side it is on.
      where: the layer's place, as messages show it.
      tokens: that place as words and numbers.
      members: role → tensor. A bare parameter is a unit of its own with the role `value`.
      layer: the layer's type, where known.
      owner: the module that holds the tensors.
      family: name of the compound convention that gathered it, if one did.
      form: which of the family's ways to store itself it follows.
      atoms: the units that it was gathered from.
    """

    side: Side
    where: str
    tokens: Tokens
    members: Mapping[str, Member]
    layer: Layer | None = None
    owner: Owner = ()
    family: str | None = None
    form: str | None = None
    atoms: tuple[Unit, ...] = ()
    signature: object = field(init=False, compare=False, default=None)

    def __post_init__(self) -> None:
        shapes = tuple(sorted((role, member.label, member.spec.shape) for role, member in self.members.items()))
        kind = self.layer and (
            self.layer.kind,
            tuple(sorted((k, repr(v)) for k, v in self.layer.options.items() if k != "name")),
        )
        inside = tuple(atom.signature for atom in self.atoms)
        object.__setattr__(self, "signature", (self.side, shapes, kind, self.family, self.form, inside))

    @property
    def main(self) -> Member:
        """The tensor that tells most: the weight, else the value, else the mean, else any."""
        for role in ("weight", VALUE, "mean"):
            if role in self.members:
                return self.members[role]
        return next(iter(self.members.values()))

    @property
    def bucket(self) -> object:
        """Equal for units that may correspond as far as extents go."""
        return self.family or math.prod(self.main.spec.shape)

    @property
    def names(self) -> tuple[str, ...]:
        """Every tensor of the checkpoint, or leaf of the target, that the unit holds."""
        return tuple(name for member in self.members.values() for name in member.names)


def source_tensors(checkpoint: Checkpoint, layers: Mapping[str, Layer], names: Iterable[str]) -> Tensors:
    """Returns the given tensors of a checkpoint by owner.

    Args:
      checkpoint: holds them.
      layers: torch module name → layer.
      names: those that are not settled yet.
    """
    owners: dict[Owner, dict[str, Member]] = {}
    for name in names:
        *owner, label = name.split(".")
        owners.setdefault(tuple(owner), {})[label] = Member(name, label, checkpoint.tensors[name].spec)
    return Tensors("source", owners, lambda owner: _layer_at(layers, ".".join(owner)))


def target_tensors(target: Target, leaves: Iterable[Leaf]) -> Tensors:
    """Returns the given leaves of a target by owner."""
    owners: dict[Owner, dict[str, Member]] = {}
    for leaf in leaves:
        held = owners.setdefault(leaf.owner, {})
        held[leaf.path if leaf.label in held else leaf.label] = Member(leaf.path, leaf.label, leaf.spec)
    return Tensors("target", owners, target.layers.get)


def cut(tensors: Tensors) -> list[Unit]:
    """Returns one unit for each layer's own tensors, and one for each bare parameter beside them."""
    joint = "." if tensors.side == "source" else "/"
    spelled = numbered(tensors.owners)
    found: list[Unit] = []
    for owner, members in tensors.owners.items():
        layer = tensors.layer(owner)
        roles: dict[str, Member] = {}
        bare: list[Member] = []
        for member in members.values():
            role = member.role or ROLES.get(member.label)
            if role is None or role in roles:
                bare.append(member)
            else:
                roles[role] = member
        if roles:
            found.append(Unit(tensors.side, joint.join(owner), spelled[owner], roles, layer, owner))
        for member in bare:
            place = joint.join((*owner, member.label))
            words = (*spelled[owner], *tokens((member.label,)))
            found.append(Unit(tensors.side, place, words, {VALUE: member}, layer, owner))
    return found


def _layer_at(layers: Mapping[str, Layer], owner: str) -> Layer | None:
    """The layer at a module name, looked up below the wrappers that a training set-up leaves in names."""
    if owner in layers or not layers:
        return layers.get(owner)
    for wrapper in WRAPPERS:
        if owner + "." == wrapper or owner.startswith(wrapper):
            return _layer_at(layers, owner[len(wrapper) :])
    return None
