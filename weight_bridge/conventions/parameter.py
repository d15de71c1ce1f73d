"""Bare parameters and buffers, which a user's own module holds beside its layers: carried as they are."""

from __future__ import annotations

from dataclasses import dataclass

from weight_bridge._errors import Misfit
from weight_bridge.conventions.family import Draft, Family, wrong_shape
from weight_bridge.transforms import Identity, Reshape
from weight_bridge.units import VALUE, Unit

# Labels under which a layer may hold what the other side keeps bare.
TABLES = frozenset({"weight", "embedding", "embeddings"})


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
        elif _dense(ours.spec.shape) == _dense(theirs.spec.shape):
            transform = Reshape(theirs.spec.shape)
        else:
            raise Misfit(wrong_shape(ours, theirs, Identity()))
        typed = source.layer is not None and not source.layer.known and target.layer is not None
        proved = typed and ours.label == theirs.label and isinstance(transform, Identity)
        return (Draft((ours.key,), (theirs.key,), transform, proved, "a bare parameter, carried as it is"),)


def _refuse_inside_layer(unit: Unit) -> None:
    """A tensor that a library's layer keeps under a name of its own has a meaning that only a convention knows."""
    if VALUE in unit.members and unit.layer is not None and unit.layer.known:
        raise Misfit(f"{unit.main.key}: part of a {unit.layer}, for which there is no convention")
    if VALUE not in unit.members and unit.main.label not in TABLES:
        raise Misfit(f"{unit.main.key}: a layer's {unit.main.label}, not a bare parameter")


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


PARAMETER = BareParameter()
