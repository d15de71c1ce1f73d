"""Layers in a row on one side, stacked along a leading axis on the other, as `scan` stores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weight_bridge.conventions import Draft
from weight_bridge.joint import Each, Stack, Unstack
from weight_bridge.names import Tokens
from weight_bridge.pairing import Match, Question, pair
from weight_bridge.spec import Spec
from weight_bridge.transforms import chain
from weight_bridge.units import Unit

Row = tuple[Unit, ...]


def stacked(sources: Sequence[Unit], targets: Sequence[Unit]) -> tuple[list[Match], list[Question]]:
    """Returns matches of rows of units on one side with stacks of them on the other.

    Args:
      sources: units of the checkpoint that nothing else matched.
      targets: units of the model that nothing else matched.

    Returns:
      Matches whose units stand for whole rows, and questions that stay open.
    """
    matches: list[Match] = []
    questions: list[Question] = []
    for ours, theirs, turned in ((sources, targets, False), (targets, sources, True)):
        rows = _rows(ours)
        for length in sorted({len(row) for row in rows}):
            heads = [_head(row) for row in rows if len(row) == length]
            slices = [_slice(unit) for unit in theirs if _is_stack(unit, length)]
            found = pair(slices, heads) if turned else pair(heads, slices)
            matches += [_whole(one, turned=turned) for one in found.matches]
            questions += found.questions
    return matches, questions


def _rows(units: Sequence[Unit]) -> list[Row]:
    """Units alike whose names differ in one number that runs from 0, outermost numbers first."""
    rows: list[Row] = []
    taken: set[int] = set()
    for place in range(max((len(unit.tokens) for unit in units), default=0)):
        groups: dict[object, dict[int, Unit]] = {}
        for unit in units:
            if id(unit) not in taken and place < len(unit.tokens) and unit.tokens[place].isdigit():
                rest = (unit.tokens[:place], unit.tokens[place + 1 :])
                groups.setdefault((rest, unit.signature), {})[int(unit.tokens[place])] = unit
        for found in groups.values():
            if len(found) > 1 and sorted(found) == list(range(len(found))):
                row = tuple(found[number] for number in sorted(found))
                rows.append(row)
                taken |= {id(unit) for unit in row}
    return rows


def _head(row: Row) -> Unit:
    """The first of a row, named without the number, standing for all."""
    differing = [len({unit.tokens[place] for unit in row}) > 1 for place in range(len(row[0].tokens))]
    place: Tokens = tuple(token for token, differs in zip(row[0].tokens, differing, strict=True) if not differs)
    return replace(row[0], tokens=place, atoms=row)


def _is_stack(unit: Unit, length: int) -> bool:
    return all(member.spec.shape[:1] == (length,) and not member.inputs for member in unit.members.values())


def _slice(unit: Unit) -> Unit:
    """One layer of a stack."""
    members = {
        role: replace(member, spec=Spec(member.spec.shape[1:], member.spec.dtype))
        for role, member in unit.members.items()
    }
    return replace(unit, members=members, atoms=(unit,))


def _whole(found: Match, *, turned: bool) -> Match:
    """The match of a row's head and one layer of a stack, for the row and the stack."""
    row = (found.target if turned else found.source).atoms
    return replace(
        found, drafts=tuple(_unstacking(part, row) if turned else _stacking(part, row) for part in found.drafts)
    )


def _stacking(part: Draft, row: Row) -> Draft:
    transform = chain(Each(part.transform), Stack(0))
    why = f"{len(row)} layers stacked; {part.why}"
    return replace(part, sources=_keys(row, part.sources[0]), transform=transform, why=why, otherwise=None)


def _unstacking(part: Draft, row: Row) -> Draft:
    transform = chain(Unstack(0), Each(part.transform))
    why = f"a stack of {len(row)} layers; {part.why}"
    return replace(part, targets=_keys(row, part.targets[0]), transform=transform, why=why, otherwise=None)


def _keys(row: Row, first: str) -> tuple[str, ...]:
    """The tensors that stand in each unit of a row where `first` stands in the first."""
    role = next(role for role, member in row[0].members.items() if member.key == first)
    return tuple(unit.members[role].key for unit in row)
