"""Which source unit corresponds to which target unit: of those that fit, the nearest in name, both ways.

The comparison runs over all units whose layers and shapes can correspond, matched or not: what is as near to two
candidates is not decided by elimination or order, it is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from weight_bridge._errors import Misfit, Undecided
from weight_bridge.conventions import Draft, draft
from weight_bridge.mapping import Pairing
from weight_bridge.names import Alignment, Tokens, align, skeleton
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
      pairing: the entry of a mapping that says so; None where it was inferred.
    """

    source: Unit
    target: Unit
    drafts: tuple[Draft, ...]
    solid: bool
    why: str
    pairing: Pairing | None = None


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
    near = _Distances(sources, targets)
    questions: list[Question] = []
    costs = near.costs()
    matches, ties = _mutual(sources, targets, costs)
    settled: list[Match] = []
    for i, j in matches:
        try:
            drafts = draft(sources[i], targets[j])
        except Undecided as open_question:
            questions.append(Question(sources[i], targets[j], str(open_question)))
            continue
        alone = near.choices[j] == near.rivals[i] == 1
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


class _Kin:
    """Units whose names differ in numbers alone, and of which one fits wherever another does."""

    def __init__(self, units: Sequence[Unit], numbering: Numbering) -> None:
        self._units, self._numbering = units, numbering
        self.members: list[int] = []
        self._places: dict[int, dict[Tokens, dict[int, list[int]]]] = {}

    @property
    def first(self) -> Unit:
        """One of them."""
        return self._units[self.members[0]]

    def like(self, place: int, other: Unit, there: int, theirs: Numbering) -> Iterator[int]:
        """Yields those whose number at a place corresponds to another unit's."""
        if place not in self._places:
            found: dict[Tokens, dict[int, list[int]]] = {}
            for index in self.members:
                words = self._units[index].tokens
                found.setdefault(words[:place], {}).setdefault(int(words[place]), []).append(index)
            self._places[place] = found
        for by_number in self._places[place].values():
            unit = self._units[next(iter(by_number.values()))[0]]
            number = _counterpart(self._numbering, theirs, unit, other, (place, there))
            yield from by_number.get(number, ())


class _Distances:
    """Distances between units that fit, without those between numbers that are not each other's where others are."""

    def __init__(self, sources: Sequence[Unit], targets: Sequence[Unit]) -> None:
        self._sources, self._targets = sources, targets
        self._ours, self._theirs = Numbering(sources), Numbering(targets)
        self._pairs = [*self._fitting()]
        self.choices = [0] * len(targets)  # how many sources fit a target
        self.rivals = [0] * len(sources)  # how many targets fit a source
        for mine, kin, _ in self._pairs:
            for j in kin.members:
                self.choices[j] += len(mine.members)
            for i in mine.members:
                self.rivals[i] += len(kin.members)

    def costs(self) -> dict[int, dict[int, Distance]]:
        """Returns target → source → distance, complete where it could be the least of its row or column."""
        found: dict[int, dict[int, Distance]] = {j: {} for j in range(len(self._targets))}
        for mine, kin, way in self._pairs:
            for j in kin.members:
                for i in mine.like(*self._first(way, j)) if way.numbers else mine.members:
                    distance = self._distance(i, j, way)
                    if distance.numbers < _OTHER:
                        found[j][i] = distance
        rows = {j for j, row in found.items() if not any(one.cost < _OTHER for one in row.values())}
        reached = {i for row in found.values() for i, one in row.items() if one.cost < _OTHER}
        for mine, kin, way in self._pairs:
            for j in kin.members:
                missing = mine.members if j in rows else [i for i in mine.members if i not in reached]
                found[j].update((i, self._distance(i, j, way)) for i in missing)
        return found

    def _first(self, way: Alignment, j: int) -> tuple[int, Unit, int, Numbering]:
        """Where the outermost numbers of two names face each other."""
        return way.numbers[0][0], self._targets[j], way.numbers[0][1], self._theirs

    def _distance(self, i: int, j: int, way: Alignment) -> Distance:
        source, target = self._sources[i], self._targets[j]
        numbers = sum(_number_cost(self._ours, self._theirs, source, target, place) for place in way.numbers)
        roles = 0.4 * (set(source.members) != set(target.members))
        return Distance(way.cost + numbers + roles, way, numbers)

    def _fitting(self) -> Iterator[tuple[_Kin, _Kin, Alignment]]:
        """Kin that fit, with the alignment that all their names have."""
        fits = _Fits()
        ours, theirs = _kin(self._sources, self._ours), _kin(self._targets, self._theirs)
        for bucket, kins in theirs.items():
            for kin in kins:
                for mine in ours.get(bucket, ()):
                    if fits.fit(mine.first, kin.first):
                        yield mine, kin, align(mine.first.tokens, kin.first.tokens)


def _kin(units: Sequence[Unit], numbering: Numbering) -> dict[object, list[_Kin]]:
    """Units by what may correspond at all, then by kinship."""
    found: dict[object, dict[object, _Kin]] = {}
    for index, unit in enumerate(units):
        kins = found.setdefault(unit.bucket, {})
        kins.setdefault((skeleton(unit.tokens), unit.signature), _Kin(units, numbering)).members.append(index)
    return {bucket: [*kins.values()] for bucket, kins in found.items()}


def _counterpart(ours: Numbering, theirs: Numbering, source: Unit, target: Unit, place: tuple[int, int]) -> int:
    """The number in the source's sequence that corresponds to the target's."""
    i, j = place
    right = int(target.tokens[j])
    here, there = ours.alike(source, i), theirs.alike(target, j)
    same = ours.everyone(source, i) == theirs.everyone(target, j) or here == there or len(here) != len(there)
    return right if same else here[there.index(right)]


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
