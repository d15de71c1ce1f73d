"""Bare parameters and buffers, which a user's own module holds beside its layers: carried as they are."""

from __future__ import annotations

from dataclasses import dataclass

from weight_bridge._errors import Misfit
from weight_bridge.conventions.family import Draft, Family, dense, wrong_shape
from weight_bridge.transforms import Identity, Reshape, chain
from weight_bridge.units import VALUE, Unit

# Labels under which a layer may hold what the other side keeps bare.
TABLES = frozenset({"weight", "embedding", "embeddings"})
# Library classes that users derive from and that hold no tensor of their own: what stands in one is the user's.
CONTAINERS = frozenset(
    {f"torch.{name}" for name in ("Sequential", "ModuleList", "ModuleDict", "RNNBase", "RNNCellBase")}
    | {"nnx.List", "nnx.RNNCellBase", "linen.RNNCellBase", "linen.Sequential", "equinox.Sequential", "equinox.Lambda"}
)


@dataclass(frozen=True)
class BareParameter(Family):
    """A parameter without a layer: same axes on both sides, except that axes of one may come and go."""

    name: str = "bare parameter"
    kinds: frozenset[str] = frozenset()

    def draft(self, source: Unit, target: Unit) -> tuple[Draft, ...]:
        """Returns the one draft; a table may stand bare on one side and in an embedding layer on the other."""
        if not {VALUE, "weight"} >= {*source.members, *target.members}:
            raise Misfit(f"{source.main.key} and {target.main.key}: a layer and a bare parameter")
        _refuse_inside_layer(target)
        ours, theirs = source.main, target.main
        namesake = ours.label == theirs.label and VALUE in source.members and VALUE in target.members
        if not namesake:  # a user's own version of a layer keeps what the layer calls by the same name
            _refuse_inside_layer(source)
        if ours.spec.shape == theirs.spec.shape:
            transform = Identity()
        elif dense(ours.spec.shape) == dense(theirs.spec.shape):
            transform = Reshape(theirs.spec.shape)
        else:
            raise Misfit(wrong_shape(ours, theirs, Identity()))
        typed = source.layer is not None and not source.layer.known and target.layer is not None
        proved = typed and ours.label == theirs.label and isinstance(transform, Identity)
        why = "a bare parameter, carried as it is"
        return (Draft(ours.names, (theirs.key,), chain(ours.made, transform), proved, why),)


def _refuse_inside_layer(unit: Unit) -> None:
    """A tensor that a library's layer keeps under a name of its own has a meaning that only a convention knows."""
    typed = unit.layer is not None and unit.layer.known and unit.layer.kind not in CONTAINERS
    if VALUE in unit.members and typed:
        raise Misfit(f"{unit.main.key}: part of a {unit.layer}, for which there is no convention")
    if VALUE not in unit.members and unit.main.label not in TABLES:
        raise Misfit(f"{unit.main.key}: a layer's {unit.main.label}, not a bare parameter")


PARAMETER = BareParameter()
