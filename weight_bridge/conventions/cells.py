"""Recurrent cells among the units of either side: torch's by the names of their tensors, others by their parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from weight_bridge.conventions.recurrent import RECURRENT
from weight_bridge.names import numbered, tokens
from weight_bridge.structure import Layer
from weight_bridge.units import VALUE, Member, Owner, Unit

_TENSOR = re.compile(r"(?P<what>weight_ih|weight_hh|bias_ih|bias_hh)(_l(?P<level>\d+)(?P<reverse>_reverse)?)?")
_WEIGHTS = {"weight_ih", "weight_hh"}
_GATES = (1, 3, 4)
# The two layers of a cell that keeps its gates together.
_TOGETHER = (("dense_i", "dense_h"), ("i", "h"), ("input_to_hidden", "hidden_to_hidden"))

Held = Mapping[str, tuple[Member, Unit]]
Form = tuple[str, dict[str, str]] | None


def source_cells(units: Iterable[Unit]) -> list[Unit]:
    """Returns a unit for each layer and direction of torch's recurrent modules."""
    held: dict[tuple[Owner, str, str], dict[str, tuple[Member, Unit]]] = {}
    for unit in units:
        if (found := _TENSOR.fullmatch(unit.main.label)) is not None:
            place = (unit.owner, found["level"] or "", found["reverse"] or "")
            held.setdefault(place, {})[found["what"]] = (unit.main, unit)
    cells: list[Unit] = []
    for (owner, level, reverse), parts in held.items():
        if set(parts) in (_WEIGHTS, _WEIGHTS | {"bias_ih", "bias_hh"}) and _are_weights(parts):
            several = len({other[1] for other in held if other[0] == owner}) > 1
            both = any(other[2] for other in held if other[0] == owner)
            words = ((level,) if several else ()) + (("backward" if reverse else "forward",) if both else ())
            suffix = f".l{level}{reverse}" if several or both else ""
            cells.append(_source_cell(owner, words, suffix, parts))
    return cells


def _source_cell(owner: Owner, words: tuple[str, ...], suffix: str, parts: Held) -> Unit:
    first = next(iter(parts.values()))[1]
    place = first.tokens[: len(first.tokens) - len(tokens((first.main.label,)))]
    members = {what: member for what, (member, _) in parts.items()}
    atoms = tuple(unit for _, unit in parts.values())
    where = ".".join(owner) + suffix
    return Unit("source", where, (*place, *words), members, first.layer, owner, RECURRENT, None, atoms)


def _are_weights(parts: Held) -> bool:
    """Whether the shapes are those of one, three or four gates."""
    ours, theirs = (parts[what][0].spec.shape for what in ("weight_ih", "weight_hh"))
    fit = len(ours) == len(theirs) == 2 and ours[0] == theirs[0] and theirs[1] > 0
    return fit and any(theirs[0] == gates * theirs[1] for gates in _GATES)


def target_cells(units: Iterable[Unit], layers: Mapping[Owner, Layer]) -> list[Unit]:
    """Returns a unit for each cell of a target, by the parts it has and, where those do not tell, by its type."""
    held: dict[Owner, dict[str, tuple[Member, Unit]]] = {}
    for unit in units:
        for role, member in unit.members.items():
            inside = member.label if role == VALUE else role
            held.setdefault(unit.owner, {})[inside] = (member, unit)
            if unit.owner and role != VALUE:
                child = unit.owner[-1].rstrip("_")
                held.setdefault(unit.owner[:-1], {})[f"{child}.{role}"] = (member, unit)
    spelled = numbered(held)
    cells: list[Unit] = []
    for owner, parts in held.items():
        if (form := _form(owner, layers.get(owner), parts)) is not None:
            members = {role: parts[name][0] for name, role in form[1].items()}
            atoms = tuple({id(parts[name][1]): parts[name][1] for name in form[1]}.values())
            layer = layers.get(owner)
            cells.append(
                Unit("target", "/".join(owner), spelled[owner], members, layer, owner, RECURRENT, form[0], atoms)
            )
    return cells


def _form(owner: Owner, layer: Layer | None, parts: Held) -> Form:
    """How a module stores a cell, and its parts by role; None where it is none."""
    kind = layer.kind if layer is not None else ""
    named = kind == "haiku.LSTM" or (not kind and "lstm" in "".join(owner[-1:]).lower())
    if named and {"linear.weight", "linear.bias"} <= set(parts) and parts["linear.weight"][0].label == "w":
        return "haiku lstm", {"linear.weight": "w", "linear.bias": "b"}
    if {"w_i", "w_h", "bias"} <= set(parts):
        return "haiku gru", {"w_i": "w_i", "w_h": "w_h", "bias": "b"}
    if set(parts) >= _WEIGHTS and (kind.startswith("equinox.") or "bias" in parts) and "bias_ih" not in parts:
        return "torch-like", {name: name for name in ("weight_ih", "weight_hh", "bias", "bias_n") if name in parts}
    return _per_gate(parts) or _together(kind, parts)


def _per_gate(parts: Held) -> Form:
    for letters in ("ifgo", "rzn"):
        children = {f"{side}{letter}" for side in "ih" for letter in letters}
        if {f"{child}.weight" for child in children} <= set(parts):
            return "per gate", {name: name for name in parts if name.partition(".")[0] in children}
    return None


def _together(kind: str, parts: Held) -> Form:
    pairs = (*_TOGETHER, ("linear", "linear_1")) if kind == "haiku.VanillaRNN" else _TOGETHER
    for given, kept in pairs:
        if {f"{given}.weight", f"{kept}.weight"} <= set(parts):
            hidden, into = parts[f"{kept}.weight"][0].spec.shape, parts[f"{given}.weight"][0].spec.shape
            if len(hidden) == len(into) == 2 and any(hidden == (hidden[0], gates * hidden[0]) for gates in _GATES):
                renamed = {given: "i", kept: "h"}
                split = {name: name.partition(".") for name in parts if name.partition(".")[0] in renamed}
                return "gates together", {name: f"{renamed[at]}.{role}" for name, (at, _, role) in split.items()}
    return None
