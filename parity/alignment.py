"""Which module of the reference is which of the candidate: by the weights they hold, then by names and order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from parity.trace import ModuleCall, Trace


class Step(Protocol):
    """What a step of a weight mapping tells about modules."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Torch names."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """JAX paths."""
        ...


@dataclass(frozen=True)
class Aligned:
    """Two calls that do the same work.

    Attributes:
      reference: on the torch side.
      candidate: on the JAX side.
      by_weights: they hold corresponding weights, which leaves no doubt.
    """

    reference: ModuleCall
    candidate: ModuleCall
    by_weights: bool


def align(
    reference: Trace, candidate: Trace, steps: Sequence[Step], first_name: Mapping[str, str]
) -> tuple[Aligned, ...]:
    """Pairs the calls of two traces.

    Modules that hold the same set of weights are a pair; of several around the same weights, the innermost are, and
    others where their names agree. What holds no weights is paired by name, kind and position between neighbours that
    are settled. A module without a counterpart belongs to the smallest pair around it, and so does one that one side
    calls more often than the other, such as a layer that a decoder calls for every step.

    Args:
      reference: torch side.
      candidate: JAX side.
      steps: of the weight mapping; none where weights were not carried.
      first_name: torch name of a shared parameter → its first name.

    Returns:
      Pairs by when they begin on the torch side; the models themselves come first.
    """
    settled = {reference.root.order: candidate.root.order}
    apart: tuple[set[int], set[int]] = set(), set()
    holdings = _holdings(steps, first_name)
    for ours, theirs in _stacked(reference, candidate, holdings):
        settled |= {a.order: b.order for a, b in zip(ours, theirs, strict=True)}
    for name, path in _by_weights(reference, candidate, holdings).items():
        ours = [call for call in reference.calls if call.name == name]
        theirs = [call for call in candidate.calls if call.name == path]
        looped = all(call.looped for call in theirs)
        if len(ours) == len(theirs):
            settled |= {a.order: b.order for a, b in zip(ours, theirs, strict=True)}
        elif looped and len(ours) == 1:  # what is around the loop may be the counterpart
            apart[1].update(call.order for call in theirs)
        else:
            settled |= {a.order: b.order for a, b in _iterations(ours, theirs)} if looped else {}
            apart[0].update(call.order for call in ours)
            apart[1].update(call.order for call in theirs)
    sure = frozenset(settled)
    for order in sorted(settled):
        _fill(reference, candidate, order, settled, apart)
    return tuple(
        Aligned(reference.calls[order], candidate.calls[settled[order]], order in sure) for order in sorted(settled)
    )


def tokens(name: str) -> tuple[str, ...]:
    """A module's name without its side's conventions.

    Example:
      >>> tokens("encoder.layers.0.selfAttn") == tokens("encoder/layers_0/self_attn")
      True
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return tuple(part for part in re.split(r"[./_]+", spaced.lower()) if part and part != "layers")


def _iterations(ours: list[ModuleCall], theirs: list[ModuleCall]) -> Iterator[tuple[ModuleCall, ModuleCall]]:
    """Calls on arrays of the same sizes, in turn: a loop may stop earlier, and leave to one call what followed it."""
    begin = 0
    for call in ours:
        alike = next((i for i in range(begin, len(theirs)) if _sizes(theirs[i]) == _sizes(call)), None)
        if alike is not None:
            begin = alike + 1
            yield call, theirs[alike]


def _sizes(call: ModuleCall) -> list[int]:
    """Elements of what a call was given."""
    return sorted(value.size for value in call.inputs.values())


Holding = tuple[frozenset[str], frozenset[str]]
"""First names of torch's parameters, and the paths that one step of the mapping fills with them."""


def _holdings(steps: Sequence[Step], first_name: Mapping[str, str]) -> list[Holding]:
    """Weights by the steps that carry them, paths without linen's collections."""
    prefixed = any(path.startswith("params/") for step in steps for path in step.targets)
    return [
        (
            frozenset(first_name.get(name, name) for name in step.sources),
            frozenset(path.split("/", 1)[1] if prefixed else path for path in step.targets),
        )
        for step in steps
    ]


def _stacked(
    reference: Trace, candidate: Trace, holdings: Sequence[Holding]
) -> Iterator[tuple[list[ModuleCall], list[ModuleCall]]]:
    """Layers, and the calls of a module that holds their weights stacked: a loop calls it once for each of them."""
    for path, theirs in _by_name(candidate).items():
        stacks = [sources for sources, targets in holdings if all(_inside(t, path, "/") for t in targets)]
        if not path or not stacks or {len(stack) for stack in stacks} != {len(theirs)} or len(theirs) == 1:
            continue
        own = frozenset().union(*stacks)
        others = frozenset().union(*(sources for sources, _ in holdings)) - own
        ours = [
            calls[0]
            for name, calls in _by_name(reference).items()
            if all(sum(_inside(source, name, ".") for source in stack) == 1 for stack in stacks)
            and not any(_inside(other, name, ".") for other in others)
        ]
        if len(ours) == len(theirs):
            yield ours, theirs


def _by_name(trace: Trace) -> dict[str, list[ModuleCall]]:
    """Calls by their module."""
    calls: dict[str, list[ModuleCall]] = defaultdict(list)
    for call in trace.calls:
        calls[call.name].append(call)
    return calls


def _by_weights(reference: Trace, candidate: Trace, holdings: Sequence[Holding]) -> dict[str, str]:
    """Torch name → path of modules that hold corresponding weights; the models themselves are a pair anyway."""
    ours: dict[frozenset[str], list[str]] = defaultdict(list)
    theirs: dict[frozenset[str], list[str]] = defaultdict(list)
    for name in dict.fromkeys(call.name for call in reference.calls if call.name):
        held = [targets for sources, targets in holdings if all(_inside(s, name, ".") for s in sources)]
        ours[frozenset().union(*held)].append(name)
    every = [path for _, targets in holdings for path in targets]
    for path in dict.fromkeys(call.name for call in candidate.calls if call.name):
        theirs[frozenset(t for t in every if _inside(t, path, "/"))].append(path)
    pairs: dict[str, str] = {}
    for weights, names in ours.items():
        if weights and weights in theirs:
            pairs |= _nested(names, theirs[weights])
    return pairs


def _nested(names: list[str], paths: list[str]) -> dict[str, str]:
    """Pairs modules that are nested around the same weights: the innermost, and others of the same name.

    One module of one side alone is that of its own name, which may prepare what the one inside is given.
    """
    names, paths = sorted(names, key=len), sorted(paths, key=len)
    if len(names) == len(paths):
        return dict(zip(names, paths, strict=True))
    namesake = next((n for n in names if tokens(n) == tokens(paths[0])), None) if len(paths) == 1 else None
    if namesake is not None:
        return {namesake: paths[0]}
    pairs = {names[-1]: paths[-1]}
    free = paths[:-1]
    for name in names[:-1]:
        alike = next((path for path in free if tokens(path) == tokens(name)), None)
        if alike is not None:
            pairs[name] = alike
            free.remove(alike)
    return pairs


def _fill(
    reference: Trace, candidate: Trace, order: int, settled: dict[int, int], apart: tuple[set[int], set[int]]
) -> None:
    """Pairs what is unsettled directly within a settled pair, between settled neighbours; then within those in turn."""
    taken = set(settled.values())
    ours = _own(reference, order, set(settled) | apart[0])
    theirs = _own(candidate, settled[order], taken | apart[1])
    bounds = sorted((a, b) for a, b in settled.items() if a > order)
    for mine, other in _gaps(ours, theirs, bounds):
        for a, b in _similar(mine, other, reference.calls[order].name, candidate.calls[settled[order]].name):
            settled[a.order] = b.order
            _fill(reference, candidate, a.order, settled, apart)


def _own(trace: Trace, order: int, settled: set[int]) -> list[ModuleCall]:
    """Unsettled calls within a call that lie within no other settled one."""
    within, found = {order}, list[ModuleCall]()
    for call in trace.calls[order + 1 :]:
        if call.parent in within and call.order not in settled:
            within.add(call.order)
            found.append(call)
    return found


def _gaps(
    ours: list[ModuleCall], theirs: list[ModuleCall], bounds: list[tuple[int, int]]
) -> list[tuple[list[ModuleCall], list[ModuleCall]]]:
    """Unsettled calls of both sides that lie between the same settled ones."""
    edges: list[tuple[int, int]] = []
    for a, b in bounds:  # neighbours whose order differs between the sides bound nothing
        if not edges or b > edges[-1][1]:
            edges.append((a, b))
    slots: dict[int, tuple[list[ModuleCall], list[ModuleCall]]] = defaultdict(lambda: ([], []))
    for call in ours:
        slots[sum(a < call.order for a, _ in edges)][0].append(call)
    for call in theirs:
        slots[sum(b < call.order for _, b in edges)][1].append(call)
    return [slot for slot in slots.values() if slot[0] and slot[1]]


def _similar(
    ours: list[ModuleCall], theirs: list[ModuleCall], name: str, path: str
) -> list[tuple[ModuleCall, ModuleCall]]:
    """The best pairs in order, by names below the parents and by kinds; one against one needs no resemblance."""
    score = [[_likeness(a, b, name, path) for b in theirs] for a in ours]
    best = [[0.0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    for i in reversed(range(len(ours))):
        for j in reversed(range(len(theirs))):
            both = score[i][j] + best[i + 1][j + 1] if score[i][j] else 0.0
            best[i][j] = max(both, best[i + 1][j], best[i][j + 1])
    pairs, i, j = list[tuple[ModuleCall, ModuleCall]](), 0, 0
    while i < len(ours) and j < len(theirs):
        if score[i][j] and best[i][j] == score[i][j] + best[i + 1][j + 1]:
            pairs.append((ours[i], theirs[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs or ([(ours[0], theirs[0])] if len(ours) == len(theirs) == 1 else [])


def _likeness(a: ModuleCall, b: ModuleCall, name: str, path: str) -> float:
    """How much two calls look like each other; 0 for not at all."""
    ours, theirs = tokens(a.name[len(name) :]), tokens(b.name[len(path) :])
    kind, other = _kind(a.kind), _kind(b.kind)
    same_kind = bool(kind) and bool(other) and (kind in other or other in kind)
    return 2.0 * (ours == theirs) + (ours[-1:] == theirs[-1:]) + 1.5 * same_kind


def _kind(kind: str) -> str:
    """A class's or function's name without dimensions."""
    return re.sub(r"[^a-z]|\dd", "", kind.lower())


def _inside(leaf: str, module: str, separator: str) -> bool:
    return not module or leaf.startswith(module + separator)
