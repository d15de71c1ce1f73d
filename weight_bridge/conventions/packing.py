"""Groups of projections found among the units of either side, packed in one matrix or split over siblings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from weight_bridge.conventions.projections import CROSSED, PROJECTIONS
from weight_bridge.names import Tokens, numbered, tokens, words
from weight_bridge.structure import Layer
from weight_bridge.units import VALUE, Member, Owner, Unit

GROUPS: tuple[tuple[str, ...], ...] = (("q", "k", "v"), ("k", "v"), ("gate", "up"))
# Words of a packed matrix's name, beside those that say nothing → its parts in order.
_PACKED: dict[frozenset[str], tuple[str, ...]] = {
    frozenset({"qkv"}): ("q", "k", "v"),
    frozenset({"c", "attn"}): ("q", "k", "v"),
    frozenset({"in", "proj"}): ("q", "k", "v"),
    frozenset({"kv"}): ("k", "v"),
    frozenset({"gate", "up"}): ("gate", "up"),
}
_INTERLEAVED = frozenset({"q", "k", "v"})
_SILENT = frozenset({"to", "w", "linear", "conv", "proj"})
# torch.nn.MultiheadAttention's own tensors.
_TORCH = {
    "in_proj_weight": "q+k+v|weight",
    "in_proj_bias": "q+k+v|bias",
    "q_proj_weight": "q|weight",
    "k_proj_weight": "k|weight",
    "v_proj_weight": "v|weight",
}

# Attention of a library → its output layer.
_OUTPUTS = {
    "torch.MultiheadAttention": "out_proj",
    "nnx.MultiHeadAttention": "out",
    "linen.MultiHeadDotProductAttention": "out",
    "linen.MultiHeadAttention": "out",
    "linen.SelfAttention": "out",
    "equinox.MultiheadAttention": "output_proj",
    "haiku.MultiHeadAttention": "linear",
}

LayerAt = Callable[[Owner], Layer | None]


def crossed(
    sources: Sequence[Unit], targets: Sequence[Unit], source_layer: LayerAt, target_layer: LayerAt
) -> tuple[list[Unit], list[Unit]]:
    """Returns the groups that one side packs otherwise than the other, of both sides.

    Args:
      sources: the checkpoint's units.
      targets: the target's.
      source_layer: module path → layer.
      target_layer: module path → layer.
    """
    ours, theirs = _gathered(sources, source_layer), _gathered(targets, target_layer)
    forms = {unit.form for unit in ours}, {unit.form for unit in theirs}
    return (
        [unit for unit in ours if any((unit.form, other) in CROSSED for other in forms[1])],
        [unit for unit in theirs if any((other, unit.form) in CROSSED for other in forms[0])],
    )


def _gathered(units: Sequence[Unit], layer: LayerAt) -> list[Unit]:
    """Every group of one side."""
    children: dict[Owner, list[Unit]] = {}
    torch: dict[Owner, list[Unit]] = {}
    for unit in units:
        if VALUE in unit.members and unit.main.label in _TORCH:
            torch.setdefault(unit.owner, []).append(unit)
        elif "weight" in unit.members and unit.owner and len(unit.main.spec.shape) >= 2:
            children.setdefault(unit.owner[:-1], []).append(unit)
    places = numbered([*children, *torch])
    groups: list[tuple[Owner, str, dict[str, Member], list[Unit]]] = [
        (owner, "torch", {_TORCH[unit.main.label]: unit.main for unit in held}, held) for owner, held in torch.items()
    ]
    for owner, held in children.items():
        groups += [(owner, *found) for unit in held if (found := _packed(unit)) is not None]
        groups += [(owner, *found) for found in _split(held)]
    outputs = {unit.owner: unit for unit in units if "weight" in unit.members}
    return [
        _group(owner, places[owner], layer(owner), form, *_with_output(owner, layer(owner), members, atoms, outputs))
        for owner, form, members, atoms in groups
    ]


def _with_output(
    owner: Owner, layer: Layer | None, members: dict[str, Member], atoms: list[Unit], outputs: Mapping[Owner, Unit]
) -> tuple[dict[str, Member], list[Unit]]:
    """Adds the output layer of an attention whose type says which child that is."""
    unit = outputs.get((*owner, _OUTPUTS[layer.kind])) if layer is not None and layer.kind in _OUTPUTS else None
    if unit is None or any(unit is atom for atom in atoms):
        return members, atoms
    return members | {f"out|{role}": member for role, member in unit.members.items()}, [*atoms, unit]


def _group(
    owner: Owner, place: Tokens, layer: Layer | None, form: str, members: dict[str, Member], atoms: list[Unit]
) -> Unit:
    side = atoms[0].side
    where = (".", "/")[side == "target"].join(owner)
    return Unit(side, where, place, members, layer, owner, PROJECTIONS, form, tuple(atoms))


def _packed(unit: Unit) -> tuple[str, dict[str, Member], list[Unit]] | None:
    """A matrix whose name says that it holds several parts."""
    said = _said(unit)
    parts = _PACKED.get(said) or _PACKED.get(said - _SILENT)
    form = "packed"
    if parts is None and said - _SILENT == _INTERLEAVED:
        parts, form = ("q", "k", "v"), "interleaved"
    if parts is None:
        return None
    return form, {f"{'+'.join(parts)}|{role}": member for role, member in unit.members.items()}, [unit]


def _split(held: Sequence[Unit]) -> list[tuple[str, dict[str, Member], list[Unit]]]:
    """Siblings whose names differ in the one word that says which part each is."""
    rows: dict[tuple[tuple[str, ...], frozenset[str]], dict[str, Unit]] = {}
    for unit in held:
        said = _said(unit)
        for group in GROUPS:
            if len(named := said & set(group)) == 1:
                rows.setdefault((group, said - named), {})[next(iter(named))] = unit
    return [
        ("split", {f"{part}|{role}": m for part in group for role, m in parts[part].members.items()}, [*parts.values()])
        for (group, _), parts in rows.items()
        if set(parts) == set(group)
    ]


def _said(unit: Unit) -> frozenset[str]:
    return frozenset(
        word for token in tokens((unit.owner[-1],)) if not token.isdigit() for word in words(token.rstrip("_"))
    )
