"""Recurrent cells: gates in torch's order, the two biases where a library keeps them, what it has no place for.

Torch keeps (gates x hidden, in) and (gates x hidden, hidden) with the gates one below the other, and two biases: input,
forget, cell, output for an LSTM; reset, update, new for a GRU; one gate for an RNN. Where a cell adds the two biases,
other libraries keep their sum; a GRU's hidden bias of the new gate is multiplied by the reset gate and keeps a place of
its own, or has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from weight_bridge._errors import Misfit, MisfitError
from weight_bridge.conventions.family import Draft, Family, wrong_shape
from weight_bridge.joint import Beside, Combine, Concat, Each, Reorder, Split, Sum
from weight_bridge.spec import Spec
from weight_bridge.transforms import IDENTITY, Permute, Transform, chain
from weight_bridge.units import Member, Unit
from weight_bridge.values import Fill, Shift, Vacant

RECURRENT = "recurrent"
LETTERS = {4: "ifgo", 3: "rzn", 1: ""}
NAMES = {4: "LSTM", 3: "GRU", 1: "RNN"}
TURN = Permute((1, 0))
_INPUT, _HIDDEN = "weight_ih", "weight_hh"
_SUMS = ((0, 3), (1, 4), (2,), (5,))  # a GRU's biases: reset and update summed, new of the input, new of the state


@dataclass(frozen=True)
class Cell:
    """What a draft needs to know of the source: how many gates, how wide, and what its tensors are."""

    source: Unit
    gates: int
    hidden: int

    def weight(self, role: str, transform: Transform, *targets: str) -> Draft:
        """The draft from one of the two weights."""
        member = self.source.members[role]
        return Draft(member.names, targets, chain(member.made, transform), proved=False, why="")

    def biases(self, transform: Transform, *targets: str) -> Draft:
        """The draft from both biases together."""
        names = (self.source.members["bias_ih"].key, self.source.members["bias_hh"].key)
        return Draft(names, targets, transform, proved=False, why="")

    def split(self) -> Transform:
        """One array per gate."""
        return Split(0, (self.hidden,) * self.gates)


def _per_gate(cell: Cell, target: Unit) -> tuple[Draft, ...]:
    """One kernel per gate; biases beside an LSTM's hidden kernels, a GRU's input kernels and its new hidden one."""
    letters = LETTERS[cell.gates]
    each = chain(cell.split(), Each(TURN))
    kernels = {side: [target.members[f"{side}{letter}.weight"].key for letter in letters] for side in "ih"}
    drafts = [cell.weight(_INPUT, each, *kernels["i"]), cell.weight(_HIDDEN, each, *kernels["h"])]
    side = "h" if cell.gates == 4 else "i"
    places = [target.members[f"{side}{letter}.bias"] for letter in letters if f"{side}{letter}.bias" in target.members]
    places += [target.members["hn.bias"]] if cell.gates == 3 and "hn.bias" in target.members else []
    keys = [place.key for place in places]
    if not places:
        return tuple(drafts)
    if "bias_ih" not in cell.source.members:
        return (*drafts, *(_zeros(place.key, place.spec) for place in places))
    summed = chain(Concat(0), Split(0, (cell.hidden,) * 6), Combine(_SUMS)) if cell.gates == 3 else Sum()
    return (*drafts, cell.biases(summed if cell.gates == 3 else chain(summed, cell.split()), *keys))


def _together(cell: Cell, target: Unit) -> tuple[Draft, ...]:
    """One kernel for all gates on either side, one bias; a GRU's hidden bias of the new gate has no place."""
    drafts = [
        cell.weight(_INPUT, TURN, target.members["i.weight"].key),
        cell.weight(_HIDDEN, TURN, target.members["h.weight"].key),
    ]
    places = [target.members[role] for role in ("i.bias", "h.bias") if role in target.members]
    if "bias_ih" not in cell.source.members:
        return (*drafts, *(_zeros(place.key, place.spec) for place in places))
    if len(places) == 2 and cell.gates != 3:  # Haiku's plain cell keeps both
        pair = zip(("bias_ih", "bias_hh"), places, strict=True)
        return (*drafts, *(cell.weight(role, IDENTITY, place.key) for role, place in pair))
    new = Vacant(2 * cell.hidden, 3 * cell.hidden)
    total = chain(Beside((IDENTITY, new)), Sum()) if cell.gates == 3 else Sum()
    return (*drafts, *(cell.biases(total, place.key) for place in places))


def _torch_like(cell: Cell, target: Unit) -> tuple[Draft, ...]:
    """Equinox: torch's weights as they are, the biases summed where torch sums them."""
    drafts = [cell.weight(role, IDENTITY, target.members[role].key) for role in (_INPUT, _HIDDEN)]
    places = [target.members[role] for role in ("bias", "bias_n") if role in target.members]
    if not places or "bias_ih" not in cell.source.members:
        return (*drafts, *(_zeros(place.key, place.spec) for place in places))
    keys = [place.key for place in places]
    if cell.gates != 3:
        return (*drafts, cell.biases(Sum(), *keys))
    parts = chain(Concat(0), Split(0, (cell.hidden,) * 6), Combine(_SUMS))
    return (*drafts, cell.biases(chain(parts, Concat(0), Split(0, (3 * cell.hidden, cell.hidden))), *keys))


def _haiku_lstm(cell: Cell, target: Unit) -> tuple[Draft, ...]:
    """Haiku: input and state in one matrix, gates input, cell, forget, output, and one added to the forget gate."""
    ours = [cell.source.members[role] for role in (_INPUT, _HIDDEN)]
    if any(member.inputs for member in ours):
        raise Misfit(f"{ours[0].key}: computed from other tensors, which Haiku's one matrix cannot be made of")
    order = Reorder((0, 2, 1, 3))
    one = chain(cell.split(), order, Concat(0), TURN)
    names = tuple(member.key for member in ours)
    whole = Draft(names, (target.members["w"].key,), chain(Each(one), Concat(0)), proved=False, why="")
    if "b" not in target.members:
        return (whole,)
    lower = Beside((IDENTITY, IDENTITY, Shift(-1), IDENTITY))
    key = target.members["b"].key
    if "bias_ih" not in cell.source.members:
        raise Misfit(f"{key}: Haiku adds 1 to the forget gate, which a bias of -1 undoes; the source has no bias")
    return whole, cell.biases(chain(Sum(), cell.split(), order, lower, Concat(0)), key)


def _haiku_gru(cell: Cell, target: Unit) -> tuple[Draft, ...]:
    raise Misfit(
        f"{target.main.key}: haiku.GRU resets the state before its matrix product, torch's GRU after it; "
        "no weights make them equal"
    )


def _zeros(key: str, spec: Spec) -> Draft:
    return Draft((), (key,), Fill(0, spec.shape, spec.dtype), proved=False, why="the source has no bias")


# How a target stores its cell → the drafts; `gathering` finds out which.
FORMS: dict[str, Callable[[Cell, Unit], tuple[Draft, ...]]] = {
    "per gate": _per_gate,
    "gates together": _together,
    "torch-like": _torch_like,
    "haiku lstm": _haiku_lstm,
    "haiku gru": _haiku_gru,
}


class RecurrentFamily(Family):
    """Cells of one layer and direction each."""

    name = RECURRENT
    kinds = frozenset[str]()

    def draft(self, source: Unit, target: Unit) -> tuple[Draft, ...]:
        """Returns the drafts of a cell's weights and biases."""
        cell = _cell(source)
        if target.form != "haiku gru" and cell.gates != gates_of(target):
            raise Misfit(f"{target.where} is a {NAMES[gates_of(target)]}, {source.where} a {NAMES[cell.gates]}")
        _same_activation(source, target)
        drafts = FORMS[str(target.form)](cell, target)
        known = [unit.layer for unit in (source, target) if unit.layer is not None and unit.layer.known]
        proved = len(known) == 2
        why = " to ".join(map(str, known)) if proved else f"{NAMES[cell.gates]} by the names of its parts"
        _check(drafts, source, target)
        return tuple(
            Draft(d.sources, d.targets, d.transform, proved, f"{why}; {d.why}" if d.why else why) for d in drafts
        )


def _cell(source: Unit) -> Cell:
    hidden = source.members[_HIDDEN].spec.shape[1]
    return Cell(source, source.members[_HIDDEN].spec.shape[0] // hidden, hidden)


def gates_of(target: Unit) -> int:
    """How many gates a target's cell has."""
    if target.form == "per gate":
        return sum(role.endswith(".weight") for role in target.members) // 2
    if target.form == "gates together":
        rows, columns = target.members["h.weight"].spec.shape
        return columns // rows
    if target.form == "torch-like":
        rows, columns = target.members[_HIDDEN].spec.shape
        return rows // columns
    return 4 if target.form == "haiku lstm" else 3


def _same_activation(source: Unit, target: Unit) -> None:
    """Haiku's plain cell rectifies; torch's is hyperbolic unless told otherwise."""
    kind = target.layer.kind if target.layer is not None else ""
    ours = source.layer.options.get("nonlinearity") if source.layer is not None else None
    if kind == "haiku.VanillaRNN" and ours == "tanh":
        raise Misfit(f"{target.main.key}: haiku.VanillaRNN applies relu, {source.layer} tanh")


def _check(drafts: tuple[Draft, ...], source: Unit, target: Unit) -> None:
    """Raises `Misfit` where a draft does not give what the target stores."""
    specs = {name: spec for member in source.members.values() for name, spec in _specs(member).items()}
    wanted = {member.key: member for member in target.members.values()}
    for draft in drafts:
        given = tuple(specs[name] for name in draft.sources)
        try:
            found = draft.transform.infer(given)
        except MisfitError as misfit:
            raise Misfit(f"{source.where}: {misfit}") from None
        for key, spec in zip(draft.targets, found, strict=True):
            if spec.shape != wanted[key].spec.shape:
                raise Misfit(wrong_shape(source.members[_INPUT], wanted[key], IDENTITY))


def _specs(member: Member) -> dict[str, Spec]:
    """The specs of what a weight is read from."""
    return {part.key: part.spec for _, part in member.parts} or {member.key: member.spec}


RECURRENT_CELL = RecurrentFamily()
