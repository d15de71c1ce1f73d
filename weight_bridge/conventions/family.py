"""What a layer family knows: where each library keeps which tensor, and in which layout.

All layouts are told from one canonical layout, torch's. The transform between any two libraries follows: back from
the one to the canonical layout, on to the other. Where a type is unknown the candidates are tried against the shapes,
and what decided is part of the answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from weight_bridge._errors import Misfit, MisfitError, Undecided
from weight_bridge.spec import Spec
from weight_bridge.transforms import IDENTITY, Identity, Reshape, Transform, chain
from weight_bridge.units import Member, Unit


@dataclass(frozen=True)
class Draft:
    """Part of a mapping that a convention proposes.

    Args:
      sources: names of the tensors that go in, in order.
      targets: paths of the leaves that come out, in order.
      transform: from sources to targets.
      proved: whether the layer types leave no other transform.
      why: the evidence, for people.
      departs: whether a known departure from the convention was taken, because only that fits; None where there is
        none to take.
      otherwise: what that departure would be, where it fits as well as the convention does.
      notes: what the tensors do not show and a port has to heed.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    transform: Transform
    proved: bool
    why: str
    departs: bool | None = None
    otherwise: Transform | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """One way to store a tensor.

    Args:
      transform: from the canonical layout.
      name: how people call it.
      exception: whether it is a known departure from what the label says, tried only when that does not fit.
    """

    transform: Transform
    name: str
    exception: bool = False


AS_IT_IS = Layout(IDENTITY, "as it is")


class Family(ABC):
    """Know-how on one family of layers."""

    name: str
    kinds: frozenset[str]

    @abstractmethod
    def draft(self, source: Unit, target: Unit) -> tuple[Draft, ...]:
        """Returns the drafts for the roles that both units have; raises `Misfit` where they cannot correspond."""


@dataclass(frozen=True)
class LayoutFamily(Family):
    """A family whose layers keep their tensors one to one, each in a layout that its library and options fix.

    Args:
      name: how messages call it.
      kinds: the layer kinds that belong to it.
      layouts: unit and role → the layouts that are possible there, one where the type is known.
      check: raises `Misfit` where options of the two layers rule each other out.
      notes: what a port of the one layer to the other has to heed beside its tensors.
    """

    name: str
    kinds: frozenset[str]
    layouts: Callable[[Unit, str], tuple[Layout, ...]]
    check: Callable[[Unit, Unit], None] = lambda _source, _target: None
    notes: Callable[[Unit, Unit], tuple[str, ...]] = lambda _source, _target: ()

    def draft(self, source: Unit, target: Unit) -> tuple[Draft, ...]:
        self.check(source, target)
        shared = [role for role in target.members if role in source.members]
        if not shared:
            raise Misfit(f"{source.main.key} and {target.main.key} share no role")
        first, *others = [self.one(role, source, target) for role in shared]
        return (replace(first, notes=self.notes(source, target)), *others)

    def one(self, role: str, source: Unit, target: Unit) -> Draft:
        """Returns the draft for one role that both have."""
        ours, theirs = source.members[role], target.members[role]
        ways = [
            _Way(way, before.exception or after.exception, (before.name, after.name))
            for before in self.layouts(source, role)
            for after in self.layouts(target, role)
            if (way := _between(before.transform, after.transform, ours.spec)) is not None
        ]
        fits = [way.fitted(fit) for way in ways if (fit := _fitted(way.transform, ours.spec, theirs.spec)) is not None]
        if not fits:
            line = wrong_shape(ours, theirs, ways[0].transform if ways else IDENTITY)
            alike = len(ours.spec.shape) > 2 and sorted(ours.spec.shape) == sorted(theirs.spec.shape)
            tells = "; --source tells whether it is a transposed convolution" if alike and source.layer is None else ""
            raise Misfit(line + tells)
        plain = [way for way in fits if not way.exception] or fits
        if len({str(way.transform) for way in plain}) > 1:
            choices = " or ".join(dict.fromkeys(str(way.transform) for way in plain))
            question = f"{theirs.key} from {ours.key} {ours.spec}: {choices}"
            raise Undecided(f"{question}? neither layer types nor shapes nor names decide")
        forced = len({str(way.transform) for way in fits}) == 1
        proved, why = _evidence(source, target, forced=forced, stored=plain[0].names)
        other = next((way.transform for way in fits if way.exception and way.transform != plain[0].transform), None)
        whole = chain(ours.made, plain[0].transform)
        if ours.inputs:
            why = f"computed from {' and '.join(name.rsplit('.', 1)[-1] for name in ours.inputs)}; {why}"
        departs = plain[0].exception if any(way.exception for way in ways) else None
        return Draft(ours.names, (theirs.key,), whole, proved, why, departs, other and chain(ours.made, other))


@dataclass(frozen=True)
class _Way:
    """One candidate: from one library's layout to the other's."""

    transform: Transform
    exception: bool
    names: tuple[str, str]

    def fitted(self, transform: Transform) -> _Way:
        return _Way(transform, self.exception, self.names)


def wrong_shape(ours: Member, theirs: Member, way: Transform) -> str:
    """Returns the line that tells of a tensor of the wrong shape."""
    try:
        (found,) = way.infer((ours.spec,))
    except MisfitError:
        found = None
    becomes = f", which {way} turns into {list(found.shape)}" if found and not isinstance(way, Identity) else ""
    expected, got = list(theirs.spec.shape), list(ours.spec.shape)
    return f"{theirs.key}: expected shape {expected}, got {ours.key} of shape {got}{becomes}"


def _between(before: Transform, after: Transform, stored: Spec) -> Transform | None:
    """From one stored layout to another, by way of the canonical one."""
    try:
        return chain(before.inverse((stored,)), after)
    except MisfitError:
        return None


def _fitted(way: Transform, ours: Spec, theirs: Spec) -> Transform | None:
    """The transform if it yields the wanted shape; vectors may gain or lose axes of one."""
    try:
        (found,) = way.infer((ours,))
    except MisfitError:
        return None
    if found.shape == theirs.shape:
        return way
    thin = sum(size != 1 for size in ours.shape) <= 1
    if thin and found.size == theirs.size and dense(found.shape) == dense(theirs.shape):
        return chain(way, Reshape(theirs.shape))
    return None


def dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns a shape without its axes of one."""
    return tuple(size for size in shape if size != 1)


def _evidence(source: Unit, target: Unit, *, forced: bool, stored: tuple[str, str]) -> tuple[bool, str]:
    """Whether types prove the transform, and the words for it."""
    known = [unit.layer for unit in (source, target) if unit.layer is not None and unit.layer.known]
    if len(known) == 2:
        return True, f"{known[0]} to {known[1]}"
    alike = stored == (AS_IT_IS.name, AS_IT_IS.name)
    if len(known) == 1:
        rest = "stored alike" if alike else "only this layout fits"
        square = f"square, taken as {stored[0] if known[0] is target.layer else stored[1]}"
        return forced, f"{known[0]}, {rest if forced else square}"
    how = "stored alike" if alike else f"{stored[0]} to {stored[1]} by {'shape' if forced else 'the names'}"
    return False, f"types unknown, {how}"
