"""Names, layer types and shapes → rules for every leaf, or a refusal that lists the candidates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from typing import Literal

from weight_bridge._errors import Misfit, Undecided
from weight_bridge.checkpoint import Checkpoint
from weight_bridge.consistency import consistent
from weight_bridge.conventions import Draft, draft, refusals
from weight_bridge.conventions.cells import source_cells, target_cells
from weight_bridge.conventions.packing import crossed
from weight_bridge.conventions.regrouping import regrouped
from weight_bridge.conventions.reparametrization import effective
from weight_bridge.flattening import channels_last, undeclared
from weight_bridge.mapping import Mapping, Pairing, Rule, Verdict, fill, match
from weight_bridge.names import align, nearest
from weight_bridge.pairing import Match, Question, Tie, pair
from weight_bridge.stacking import stacked
from weight_bridge.structure import Layer, Target
from weight_bridge.units import Side, Tensors, Unit, cut, source_tensors, target_tensors

Flatten = Literal["declared", "as torch"]


@dataclass(frozen=True)
class Inference:
    """What could be inferred.

    Args:
      rules: one per tensor or group of tensors, concrete.
      problems: what was refused, one line each.
      explained: names of the source and paths of the target that the problems already account for, with their side.
      notes: what the rules do not show and a port has to heed.
    """

    rules: tuple[Rule, ...]
    problems: tuple[str, ...]
    explained: frozenset[tuple[Side, str]]
    notes: tuple[str, ...]


@dataclass
class _Open:
    """Both sides' units that are not settled yet, what was found for the others, and what is wrong with the rest."""

    sources: list[Unit]
    targets: list[Unit]
    matches: list[Match] = field(default_factory=list[Match])
    problems: list[str] = field(default_factory=list[str])
    explained: dict[tuple[Side, str], None] = field(default_factory=dict[tuple[Side, str], None])
    compounds: tuple[list[Unit], list[Unit]] = ([], [])
    ties: list[Tie] = field(default_factory=list[Tie])
    questions: list[Question] = field(default_factory=list[Question])

    def settle(self, matches: Iterable[Match]) -> None:
        """Takes matches over, and their units off both lists."""
        found = list(matches)
        used = {id(unit) for one in found for unit in _consumed(one)}
        self.matches += found
        self.sources = [unit for unit in self.sources if id(unit) not in used]
        self.targets = [unit for unit in self.targets if id(unit) not in used]

    def are_open(self, *units: Unit) -> bool:
        """Whether none of some units is settled or explained."""
        free = {key for unit in (*self.sources, *self.targets) for key in _keys(unit)} - set(self.explained)
        return all(key in free for unit in units for key in _keys(unit))

    def has_open(self, unit: Unit) -> bool:
        """Whether a unit, or one that it was gathered from, is neither settled nor explained."""
        return any(self.are_open(atom) for atom in unit.atoms or (unit,))

    def refuse(self, line: str, *units: Unit) -> None:
        """Adds a problem that accounts for everything in some units."""
        if line not in self.problems:
            self.problems.append(line)
        self.explained.update(dict.fromkeys(key for unit in units for key in _keys(unit)))


def infer(
    checkpoint: Checkpoint,
    target: Target,
    mapping: Mapping,
    layers: AnyMapping[str, Layer],
    *,
    names: Iterable[str],
    paths: Iterable[str],
    flatten: Flatten = "declared",
) -> Inference:
    """Infers rules for what written rules leave open.

    Args:
      checkpoint: the source tensors.
      target: the leaves to fill.
      mapping: its layer pairings are taken first.
      layers: torch module name → layer, as far as known.
      names: tensors that no rule uses.
      paths: leaves that no rule fills.
      flatten: whether linear layers that may follow flattened channels need a declaration.

    Returns:
      Rules and problems; nothing is raised, so that the plan can tell everything at once.
    """
    names, wanted = tuple(names), set(paths)
    if (adapters := refusals.adapters(names)) is not None:
        told: set[tuple[Side, str]] = {("source", name) for name in adapters[1]}
        told |= {("target", path) for path in wanted}
        return Inference((), (adapters[0],), frozenset(told), ())
    theirs = regrouped(target_tensors(target, (leaf for leaf in target.leaves if leaf.path in wanted)))
    kept = frozenset(label for members in theirs.owners.values() for label in members)
    ours = effective(source_tensors(checkpoint, layers, names), kept)
    rest = _Open(cut(ours), cut(theirs))
    cells = source_cells(rest.sources), target_cells(rest.targets, target.layers)
    groups = crossed(rest.sources, rest.targets, ours.layer, theirs.layer)
    rest.compounds = [*cells[0], *groups[0]], [*cells[1], *groups[1]]
    _take_written(rest, mapping.layers)
    rest.settle(pair(*rest.compounds).matches)
    found = pair(rest.sources, rest.targets)
    rest.settle(found.matches)
    stacks, questions = stacked(rest.sources, rest.targets)
    rest.settle(stacks)
    rest.matches, unlike = consistent(rest.matches)
    if flatten == "declared":
        unlike += undeclared(rest.matches, checkpoint.tensors, layers)
        asked = {id(question.source) for question in unlike}
        rest.matches = [found for found in rest.matches if id(found.source) not in asked]
    rest.questions, rest.ties = [*found.questions, *questions], [*found.ties]
    for question in unlike:
        rest.refuse(question.line, question.source, question.target)
    _explain(rest, ours, theirs)
    rules = [rule for found in rest.matches for rule in _rules(found)]
    return Inference(tuple(rules), tuple(rest.problems), frozenset(rest.explained), _notes(rest.matches))


def _keys(unit: Unit) -> list[tuple[Side, str]]:
    """What a unit holds; a name of the source may be a path of the target."""
    return [(unit.side, name) for name in unit.names]


def _consumed(found: Match) -> list[Unit]:
    """The units of a match, and of what they were gathered from those that a draft names."""
    named = {name for part in found.drafts for name in (*part.sources, *part.targets)}
    units = (found.source, found.target)
    return [*units, *(atom for unit in units for atom in unit.atoms if named & set(atom.names))]


def _rules(found: Match) -> list[Rule]:
    why = f"{found.why}; " if found.why else ""
    return [
        Rule(part.sources, part.targets, part.transform, why + part.why, _verdict(part, found)) for part in found.drafts
    ]


def _verdict(part: Draft, found: Match) -> Verdict:
    """How sure a part of a match is; that two layers are paired in writing does not tell how they are stored."""
    if not (part.proved and found.solid):
        return "assumed"
    return "proved" if found.pairing is None else "written"


def _notes(matches: Iterable[Match]) -> tuple[str, ...]:
    """What the conventions have to say, once for all layers of which it holds."""
    places: dict[str, list[str]] = {}
    for found in matches:
        for note in (note for part in found.drafts for note in part.notes):
            places.setdefault(note, []).append(found.source.where or "the checkpoint")
    return tuple(
        f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}: {note}"
        for note, names in places.items()
    )


def _take_written(rest: _Open, pairings: Iterable[Pairing]) -> None:
    """Settles what a mapping's `[[layer]]` entries state; a gathered layer goes before its parts."""
    theirs = [*rest.compounds[1], *rest.targets]
    for pairing in pairings:
        hits = [
            (unit, variables)
            for unit in (*rest.compounds[0], *rest.sources)
            if (variables := match(pairing.source, unit.where)) is not None
        ]
        if not hits:
            near = nearest(pairing.source, (unit.where for unit in (*rest.compounds[0], *rest.sources)))
            rest.problems.append(f"[[layer]] {pairing.source}: no layer of the checkpoint has that name{near}")
        for unit, variables in hits:
            where = fill(pairing.target, variables)
            places = [other for other in theirs if other.where == where]
            if not places:
                near = nearest(where, (other.where for other in theirs))
                rest.problems.append(f"[[layer]] {pairing.target}: the target has no layer {where}{near}")
                continue
            other = next((place for place in places if place.family == unit.family), places[0])
            try:
                drafts = draft(unit, other)
                drafts = channels_last(drafts, unit, pairing.channels_last, pairing.output_channels_last)
                rest.settle([Match(unit, other, drafts, True, "paired by the mapping", pairing)])
            except Misfit as misfit:
                rest.refuse(f"[[layer]] {pairing.source}: {misfit}", unit, other)
    settled = {id(atom) for found in rest.matches for unit in (found.source, found.target) for atom in unit.atoms}
    for side in rest.compounds:
        side[:] = [unit for unit in side if not settled & {id(atom) for atom in unit.atoms}]


def _explain(rest: _Open, ours: Tensors, theirs: Tensors) -> None:
    """Refuses what is left where more can be said than that it is left: the likeliest reason first."""
    for question in rest.questions:
        if rest.are_open(question.source, question.target):
            rest.refuse(question.line, question.source, question.target)
    _tell_misfits(rest, *rest.compounds)
    _tell_misfits(rest, rest.sources, rest.targets)
    for tie in rest.ties:
        units = (*tie.targets, *tie.sources)
        if any(rest.are_open(unit) for unit in units):
            rest.refuse(_tie_line(tie), *units)
    for unit in (*rest.sources, *rest.targets):
        for member in unit.members.values():
            mine = unit.side == "source"
            line = (
                refusals.of_tensor(unit.owner, member.label, ours.layer(unit.owner), ours)
                if mine
                else refusals.of_leaf(
                    unit.owner, member.label, theirs.layer(unit.owner) or theirs.layer(unit.owner[:-1])
                )
            )
            if line and (unit.side, member.key) not in rest.explained:
                rest.refuse(f"{member.key}: {line}", unit)


def _tell_misfits(rest: _Open, sources: Sequence[Unit], targets: Sequence[Unit]) -> None:
    """Units whose names agree and whose shapes or types do not: the likeliest mistake, told as such."""
    for target in targets:
        if not rest.has_open(target):
            continue
        alike = [unit for unit in sources if unit.family == target.family and rest.has_open(unit)]
        near = _namesakes(target, alike)
        if len(near) != 1 and target.family is not None:
            near = alike
        for unit in near if len(near) == 1 else []:
            try:
                draft(unit, target)
            except Undecided:
                continue
            except Misfit as misfit:
                rest.refuse(str(misfit), unit, target)


def _namesakes(target: Unit, sources: Sequence[Unit]) -> list[Unit]:
    """The units of the source whose names agree with a target's up to what stands around them, the nearest of those."""
    costs: dict[int, float] = {}
    for index, source in enumerate(sources):
        way = align(source.tokens, target.tokens)
        same = all(source.tokens[i] == target.tokens[j] for i, j in way.numbers)
        if same and not way.exchanged and way.cost < 2:
            costs[index] = way.cost
    return [sources[index] for index, cost in costs.items() if cost == min(costs.values())]


def _tie_line(tie: Tie) -> str:
    wanted = ", ".join(f"{unit.main.key} {list(unit.main.spec.shape)}" for unit in tie.targets)
    candidates = ", ".join(f"{unit.main.key} {list(unit.main.spec.shape)}" for unit in tie.sources)
    return f"{wanted}: ambiguous, nothing decides between {candidates}; a [[layer]] or [[rule]] of --mapping can"
