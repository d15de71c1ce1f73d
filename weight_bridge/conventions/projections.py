"""Projections stored as one matrix on one side and as several on the other: query, key and value; gate and up.

A packed matrix has the outputs of its parts one after the other. Some libraries interleave them per head under a name
(`query_key_value`) that others use for the plain order, so such a name alone is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from weight_bridge._errors import Misfit, MisfitError, Undecided
from weight_bridge.conventions.convolution import CONVOLUTION
from weight_bridge.conventions.family import Draft, Family, Layout, dense, wrong_shape
from weight_bridge.conventions.linear import LINEAR
from weight_bridge.joint import Beside, Concat, Each, Split
from weight_bridge.spec import Spec
from weight_bridge.transforms import IDENTITY, Reshape, Transform, chain
from weight_bridge.units import Member, Unit

PROJECTIONS = "projections"
OUT = ("out",)
# Which forms of source and target need this convention; others correspond layer by layer.
CROSSED = frozenset(
    {("torch", "split"), ("torch", "packed"), ("packed", "torch")}
    | {(one, other) for one in ("packed", "interleaved") for other in ("split",)}
    | {("split", "packed"), ("split", "interleaved")}
)


@dataclass(frozen=True)
class Piece:
    """One stored tensor of a group: the parts it holds, its layer, itself."""

    parts: tuple[str, ...]
    unit: Unit
    member: Member


class ProjectionFamily(Family):
    """Groups of projections, as `packing` gathers them: their members are keyed `q+k+v|weight`."""

    name = PROJECTIONS
    kinds = frozenset[str]()

    def draft(self, source: Unit, target: Unit) -> tuple[Draft, ...]:
        """Returns one draft for the weights and one for the biases, or one for each part where both sides split."""
        if (source.form, target.form) not in CROSSED:
            raise Misfit(f"{source.where} and {target.where} are stored alike")
        _refuse_unlike(source, target)
        drafts: list[Draft] = []
        for role in ("weight", "bias"):
            for out in (True, False):  # the output's matrix is no part of the others'
                ours, theirs = (
                    [piece for piece in _pieces(unit, role) if (piece.parts == OUT) is out] for unit in (source, target)
                )
                if ours and theirs:
                    _refuse_bare(role, (source, ours), (target, theirs))
                    drafts += _role(role, ours, theirs)
        if not drafts:
            raise Misfit(f"{source.where} and {target.where} share no projection")
        known = [unit.layer for unit in (source, target) if unit.layer is not None and unit.layer.known]
        typed = len(known) == 2 and source.form == "torch"
        why = " to ".join(map(str, known)) if typed else "projections one after the other, by their names"
        return tuple(replace(draft, proved=typed, why=why) for draft in drafts)


def _refuse_unlike(source: Unit, target: Unit) -> None:
    if "interleaved" in {source.form, target.form}:
        unit = source if source.form == "interleaved" else target
        raise Misfit(
            f"{unit.main.key} {list(unit.main.spec.shape)}: some libraries interleave query, key and value per head "
            "under this name, others put one after the other; a [[rule]] of --mapping has to say which"
        )
    ours, theirs = (unit.layer.options.get("num_heads") if unit.layer else None for unit in (source, target))
    if ours is not None and theirs is not None and ours != theirs:
        raise Misfit(f"{target.main.key}: {target.layer} has {theirs} heads, {source.layer} {ours}")


def _refuse_bare(role: str, *sides: tuple[Unit, list[Piece]]) -> None:
    """Refuses parts that have a bias on one side alone, such as keys without one."""
    parts = [{part for piece in pieces for part in piece.parts} for _, pieces in sides]
    for (unit, _), (_, others), lacking in zip(
        sides, reversed(sides), (parts[1] - parts[0], parts[0] - parts[1]), strict=True
    ):
        bare = [p.unit.where for p in _pieces(unit, "weight") if lacking.issuperset(p.parts)]
        if bare:
            held = next(piece for piece in others if lacking.intersection(piece.parts))
            raise Misfit(f"{held.member.key} holds {', '.join(held.parts)}: {' and '.join(bare)} has no {role}")


def _pieces(unit: Unit, role: str) -> list[Piece]:
    """The tensors of one role, each with the unit it came in."""
    found: list[Piece] = []
    for name, member in unit.members.items():
        parts, _, kept = name.partition("|")
        if kept == role:
            atom = next(atom for atom in unit.atoms if member in atom.members.values())
            found.append(Piece(tuple(parts.split("+")), replace(atom, members={role: member}), member))
    return found


def _role(role: str, ours: list[Piece], theirs: list[Piece]) -> list[Draft]:
    """The drafts between the pieces of one role."""
    here, there = ([part for piece in pieces for part in piece.parts] for pieces in (ours, theirs))
    if len(ours) > 1 and len(theirs) > 1:
        places = {piece.parts: piece for piece in theirs}
        return [
            draft for piece in ours if piece.parts in places for draft in _role(role, [piece], [places[piece.parts]])
        ]
    if here != there:
        raise Misfit(f"{ours[0].member.key} holds {', '.join(here)}, {theirs[0].member.key} {', '.join(there)}")
    fits = [way for way in _ways(role, ours, theirs) if _gives(way[0], ours, theirs)]
    if not fits:
        raise Misfit(wrong_shape(ours[0].member, theirs[0].member, IDENTITY))
    plain = [transform for transform, exception in fits if not exception] or [fits[0][0]]
    if len({str(transform) for transform in plain}) > 1:
        choices = " or ".join(dict.fromkeys(map(str, plain)))
        wanted, given = (", ".join(piece.member.key for piece in pieces) for pieces in (theirs, ours))
        raise Undecided(f"{wanted} from {given}: {choices}? neither layer types nor shapes nor names decide")
    names = tuple(name for piece in ours for name in piece.member.names)
    return [Draft(names, tuple(piece.member.key for piece in theirs), plain[0], proved=False, why="")]


def _ways(role: str, ours: list[Piece], theirs: list[Piece]) -> Iterator[tuple[Transform, bool]]:
    """Every transform that the possible layouts of both sides allow, and whether it is an exception."""
    linear = role == "bias" or len(ours[0].member.spec.shape) == 2
    layouts: Callable[[Unit, str], Sequence[Layout]] = (LINEAR if linear else CONVOLUTION).layouts
    before = [tuple(layouts(piece.unit, role)) for piece in ours]
    after = [tuple(layouts(piece.unit, role)) for piece in theirs]
    for i, j in product(range(min(map(len, before))), range(min(map(len, after)))):
        stored, wanted = [ways[i] for ways in before], [ways[j] for ways in after]
        try:
            transform = _between(ours, stored, theirs, wanted)
        except MisfitError:
            continue
        yield transform, any(layout.exception for layout in (*stored, *wanted))


def _between(ours: list[Piece], stored: list[Layout], theirs: list[Piece], wanted: list[Layout]) -> Transform:
    """From the stored pieces to the canonical matrix, (out, in), and on to the wanted pieces."""
    backs = [layout.transform.inverse((p.member.spec,)) for p, layout in zip(ours, stored, strict=True)]
    forths = [_to(layout.transform, piece.member.spec) for piece, layout in zip(theirs, wanted, strict=True)]
    if len(ours) == 1:
        into = chain(ours[0].member.made, backs[0])
    elif any(piece.member.inputs for piece in ours):
        raise MisfitError("parts that are computed from other tensors cannot be packed")
    else:
        into = chain(_beside(backs), Concat(0))
    if len(theirs) == 1:
        return chain(into, forths[0])
    (matrix,) = backs[0].infer((ours[0].member.spec,))
    row = matrix.size // matrix.shape[0]
    sizes = tuple(piece.member.spec.size // row for piece in theirs)
    return chain(into, Split(0, sizes), _beside(forths))


def _to(transform: Transform, stored: Spec) -> Transform:
    """A layout's transform; a vector may gain axes of one."""
    flat = transform == IDENTITY and len(stored.shape) > 1 and len(dense(stored.shape)) == 1
    return Reshape(stored.shape) if flat else transform


def _beside(parts: list[Transform]) -> Transform:
    if all(part == IDENTITY for part in parts):
        return IDENTITY
    return Each(parts[0]) if all(part == parts[0] for part in parts) else Beside(tuple(parts))


def _gives(transform: Transform, ours: list[Piece], theirs: list[Piece]) -> bool:
    """Whether a transform gives what the target stores."""
    specs = [part.spec for p in ours for _, part in p.member.parts] or [piece.member.spec for piece in ours]
    try:
        found = transform.infer(tuple(specs))
    except MisfitError:
        return False
    return [spec.shape for spec in found] == [piece.member.spec.shape for piece in theirs]


PROJECTION_GROUP = ProjectionFamily()
