"""Names, layer types and shapes → rules for every leaf, or a refusal that lists the candidates."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass

from weight_bridge._errors import Misfit, Undecided
from weight_bridge.checkpoint import Checkpoint
from weight_bridge.conventions import draft
from weight_bridge.mapping import Mapping, Pairing, Rule, fill, match
from weight_bridge.names import align
from weight_bridge.pairing import Match, Pairs, Tie, pair
from weight_bridge.structure import Layer, Target
from weight_bridge.units import Unit, source_units, target_units


@dataclass(frozen=True)
class Inference:
    """What could be inferred.

    Args:
      rules: one per tensor or group of tensors, concrete.
      problems: what was refused, one line each.
      explained: names and paths that the problems already account for.
    """

    rules: tuple[Rule, ...]
    problems: tuple[str, ...]
    explained: frozenset[str]


def infer(
    checkpoint: Checkpoint,
    target: Target,
    mapping: Mapping,
    layers: AnyMapping[str, Layer],
    *,
    names: Iterable[str],
    paths: Iterable[str],
) -> Inference:
    """Infers rules for what written rules leave open.

    Args:
      checkpoint: the source tensors.
      target: the leaves to fill.
      mapping: its layer pairings are taken first.
      layers: torch module name → layer, as far as known.
      names: tensors that no rule uses.
      paths: leaves that no rule fills.

    Returns:
      Rules and problems; nothing is raised, so that the plan can tell everything at once.
    """
    wanted = set(paths)
    sources = source_units(checkpoint, layers, names)
    targets = target_units(target, (leaf for leaf in target.leaves if leaf.path in wanted))
    written, problems = _written(mapping.layers, sources, targets)
    taken = {id(unit) for found in written for unit in (found.source, found.target)}
    sources = [unit for unit in sources if id(unit) not in taken]
    targets = [unit for unit in targets if id(unit) not in taken]
    pairs = pair(sources, targets)
    settled = {id(unit) for found in pairs.matches for unit in (found.source, found.target)}
    rest = [unit for unit in sources if id(unit) not in settled], [unit for unit in targets if id(unit) not in settled]
    explained: dict[str, None] = {}
    problems += [*pairs.undecided, *_wrong_shapes(*rest, explained), *_ties(pairs, explained)]
    for line in pairs.undecided:
        explained.update(dict.fromkeys(_mentioned(line, rest)))
    rules = [rule for found in (*written, *pairs.matches) for rule in _rules(found)]
    return Inference(tuple(rules), tuple(problems), frozenset(explained))


def _rules(found: Match) -> list[Rule]:
    why = f"{found.why}; " if found.why else ""
    return [
        Rule(
            part.sources,
            part.targets,
            part.transform,
            why + part.why,
            "proved" if part.proved and found.solid else "assumed",
        )
        for part in found.drafts
    ]


def _written(pairings: Iterable[Pairing], sources: list[Unit], targets: list[Unit]) -> tuple[list[Match], list[str]]:
    """Matches that a mapping's `[[layer]]` entries state."""
    places = {unit.where: unit for unit in targets}
    found: list[Match] = []
    problems: list[str] = []
    for pairing in pairings:
        hits = [(unit, variables) for unit in sources if (variables := match(pairing.source, unit.where)) is not None]
        if not hits:
            problems.append(f"[[layer]] {pairing.source}: no layer of the checkpoint has that name")
        for unit, variables in hits:
            where = fill(pairing.target, variables)
            if where not in places:
                problems.append(f"[[layer]] {pairing.target}: the target has no layer {where}")
                continue
            try:
                found.append(Match(unit, places[where], draft(unit, places[where]), True, "paired by the mapping"))
            except Misfit as misfit:
                problems.append(f"[[layer]] {pairing.source}: {misfit}")
    return found, problems


def _wrong_shapes(sources: list[Unit], targets: list[Unit], explained: dict[str, None]) -> list[str]:
    """Units whose names agree and whose shapes or types do not: the likeliest mistake, told as such."""
    lines: list[str] = []
    for target in targets:
        near = [unit for unit in sources if _same_name(unit, target)]
        if len(near) != 1:
            continue
        try:
            draft(near[0], target)
        except Undecided:
            continue
        except Misfit as misfit:
            lines.append(str(misfit))
            explained.update(
                dict.fromkeys(member.key for unit in (near[0], target) for member in unit.members.values())
            )
    return lines


def _same_name(source: Unit, target: Unit) -> bool:
    way = align(source.tokens, target.tokens)
    same = all(source.tokens[i] == target.tokens[j] for i, j in way.numbers)
    return same and not way.exchanged and way.cost < 2


def _ties(pairs: Pairs, explained: dict[str, None]) -> list[str]:
    """One line per tie, with the candidates."""
    lines: list[str] = []
    for tie in pairs.ties:
        units = (*tie.targets, *tie.sources)
        keys = [member.key for unit in units for member in unit.members.values()]
        if all(key in explained for key in keys):
            continue
        explained.update(dict.fromkeys(keys))
        lines.append(_tie_line(tie))
    return lines


def _tie_line(tie: Tie) -> str:
    wanted = ", ".join(f"{unit.main.key} {list(unit.main.spec.shape)}" for unit in tie.targets)
    candidates = ", ".join(f"{unit.main.key} {list(unit.main.spec.shape)}" for unit in tie.sources)
    return f"{wanted}: ambiguous, nothing decides between {candidates}; a [[layer]] or [[rule]] of --mapping can"


def _mentioned(line: str, rest: tuple[list[Unit], list[Unit]]) -> list[str]:
    """Every tensor of the units of which a line names the main one."""
    named = set(line.replace(":", " ").split())
    return [m.key for units in rest for unit in units if unit.main.key in named for m in unit.members.values()]
