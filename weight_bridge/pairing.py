"""Which source unit corresponds to which target unit: of those that fit, the nearest in name, both ways.

The comparison runs over all units whose layers and shapes can correspond, matched or not: what is as near to two
candidates is not decided by elimination or order, it is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weight_bridge._errors import Misfit, Undecided
from weight_bridge.conventions import Draft, draft
from weight_bridge.names import Alignment, Tokens, align
from weight_bridge.units import Unit

# A number faces another; its like in a part of the sequence; one of its rank; its like in a sequence that differs.
_OTHER, _PART, _RANK, _UNSURE = 10.0, 1.0, 2.0, 3.0


@dataclass(frozen=True)
class Match:
    """Two units that correspond.

    Args:
      source: unit of the checkpoint.
      target: unit of the model.
      drafts: how the one fills the other.
      solid: whether the names agree by themselves, up to what is put around or before them.
      why: how the names decided.
    """

    source: Unit
    target: Unit
    drafts: tuple[Draft, ...]
    solid: bool
    why: str


@dataclass(frozen=True)
class Tie:
    """A target unit for which several source units are equally near, or the other way round."""

    targets: tuple[Unit, ...]
    sources: tuple[Unit, ...]


@dataclass(frozen=True)
class Question:
    """Two units that correspond in more than one way, and the line that says so."""

    source: Unit
    target: Unit
    line: str


@dataclass(frozen=True)
class Pairs:
    """Outcome of pairing: what is settled, what is open between candidates, what fits in no way that can be chosen."""

    matches: tuple[Match, ...]
    ties: tuple[Tie, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Distance:
    """How far two names are: in all, by their words, by their numbers."""

    cost: float
    way: Alignment
    numbers: float


def pair(sources: Sequence[Unit], targets: Sequence[Unit]) -> Pairs:
    """Pairs units by types, shapes and names.

    Args:
      sources: every unit of the checkpoint that is not settled by rules.
      targets: every unit of the model that is not settled by rules.

    Returns:
      Matches, ties and open questions.
    """
    ours, theirs = Numbering(sources), Numbering(targets)
    fits = _Fits()
    questions: list[Question] = []
    costs: dict[int, dict[int, Distance]] = {}
    by_bucket: dict[object, list[int]] = defaultdict(list)
    for i, source in enumerate(sources):
        by_bucket[source.bucket].append(i)
    for j, target in enumerate(targets):
        costs[j] = {}
        for i in by_bucket[target.bucket]:
            if fits.fit(sources[i], target):
                way = align(sources[i].tokens, target.tokens)
                numbers = sum(_number_cost(ours, theirs, sources[i], target, place) for place in way.numbers)
                roles = 0.4 * (set(sources[i].members) != set(target.members))
                costs[j][i] = Distance(way.cost + numbers + roles, way, numbers)
    matches, ties = _mutual(sources, targets, costs)
    settled: list[Match] = []
    for i, j in matches:
        try:
            drafts = draft(sources[i], targets[j])
        except Undecided as open_question:
            questions.append(Question(sources[i], targets[j], str(open_question)))
            continue
        alone = len(costs[j]) == 1 and sum(i in row for row in costs.values()) == 1
        solid, why = _told(costs[j][i], alone=alone)
        settled.append(Match(sources[i], targets[j], drafts, solid, why))
    return Pairs(tuple(settled), ties, tuple(questions))


class Numbering:
    """The numbers that stand at one place of a side's names, all of them and those of one kind of layer."""

    def __init__(self, units: Iterable[Unit]) -> None:
        everyone: dict[Tokens, set[int]] = defaultdict(set)
        alike: dict[tuple[Tokens, int], set[int]] = defaultdict(set)
        for unit in units:
            for place, token in enumerate(unit.tokens):
                if token.isdigit():
                    everyone[unit.tokens[:place]].add(int(token))
                    alike[unit.tokens[:place], self._kind(unit)].add(int(token))
        self._everyone = {prefix: frozenset(found) for prefix, found in everyone.items()}
        self._alike = {key: sorted(found) for key, found in alike.items()}

    @staticmethod
    def _kind(unit: Unit) -> int:
        return len(unit.main.spec.shape)

    def everyone(self, unit: Unit, place: int) -> frozenset[int]:
        """Returns every number that stands where one of the unit's does."""
        return self._everyone[unit.tokens[:place]]

    def alike(self, unit: Unit, place: int) -> list[int]:
        """Returns the numbers there of units of the same rank, in order."""
        return self._alike[unit.tokens[:place], self._kind(unit)]


def _number_cost(ours: Numbering, theirs: Numbering, source: Unit, target: Unit, place: tuple[int, int]) -> float:
    """0 for the same number in the same sequence; more where the sequences differ and only the order speaks."""
    i, j = place
    left, right = int(source.tokens[i]), int(target.tokens[j])
    if ours.everyone(source, i) == theirs.everyone(target, j):
        return 0.0 if left == right else _OTHER
    here, there = ours.alike(source, i), theirs.alike(target, j)
    if here == there:
        return 0.0 if left == right else _OTHER
    if len(here) == len(there):
        return _RANK if here.index(left) == there.index(right) else _OTHER
    part = set(here) <= set(there) or set(there) <= set(here)
    return (_PART if part else _UNSURE) if left == right else _OTHER


def _mutual(
    sources: Sequence[Unit], targets: Sequence[Unit], costs: dict[int, dict[int, Distance]]
) -> tuple[list[tuple[int, int]], tuple[Tie, ...]]:
    """Pairs that are each other's strictly nearest; and the ties that keep others from being one."""
    columns: dict[int, dict[int, float]] = defaultdict(dict)
    for j, row in costs.items():
        for i, distance in row.items():
            columns[i][j] = distance.cost
    matches: list[tuple[int, int]] = []
    for j, row in costs.items():
        near = _nearest({i: distance.cost for i, distance in row.items()})
        if len(near) == 1 and _nearest(columns[near[0]]) == [j]:
            matches.append((near[0], j))
    done_sources, done_targets = {i for i, _ in matches}, {j for _, j in matches}
    ties: dict[tuple[tuple[int, ...], tuple[int, ...]], Tie] = {}
    for j, row in costs.items():
        near = [i for i in _nearest({i: distance.cost for i, distance in row.items()}) if i not in done_sources]
        rivals = [other for other in _nearest(columns[near[0]]) if other not in done_targets] if near else []
        if j not in done_targets and len(near) + len(rivals) > 2:
            places = tuple(sorted({j, *rivals})) if len(near) == 1 else (j,)
            ties[places, tuple(near)] = Tie(tuple(targets[k] for k in places), tuple(sources[i] for i in near))
    return matches, tuple(ties.values())


def _nearest(costs: dict[int, float]) -> list[int]:
    if not costs:
        return []
    best = min(costs.values())
    return [index for index, cost in costs.items() if cost < best + 1e-9]


def _told(distance: Distance, *, alone: bool) -> tuple[bool, str]:
    """Whether names agree by themselves, and the words for how they decided."""
    if alone and (distance.numbers or distance.way.exchanged):
        return False, "the only pair of these shapes"
    if distance.way.exchanged:
        return False, "nearest name"
    if distance.numbers:
        return False, "numbered alike in sequences that differ"
    return True, "same name" if distance.way.cost == 0 else "same name, nested differently"


class _Fits:
    """Whether two units can correspond, decided once per pair of signatures."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, object], bool] = {}

    def fit(self, source: Unit, target: Unit) -> bool:
        key = (source.signature, target.signature)
        if key not in self._known:
            self._known[key] = _fit(source, target)
        return self._known[key]


def _fit(source: Unit, target: Unit) -> bool:
    try:
        draft(source, target)
    except Undecided:
        return True
    except Misfit:
        return False
    return True
