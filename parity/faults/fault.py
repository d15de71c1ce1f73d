"""What a fault is: a name, an edit, where it goes, and what should be said about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from parity._errors import UsageError
from parity.faults.edits import Edit
from parity.pair import Pair


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One porting fault that can be injected.

    Attributes:
      id: name of the fault, unique among all; a row of the catalogue of known faults.
      title: what is wrong, in a phrase.
      edit: of the module at the site.
      group: family of faults, as the score groups them.
      where: path of that module in the candidate; empty for the model itself. None lets `sites` find it.
      pairs: that it goes into; empty for every pair with a site.
      sites: candidate → paths of modules that it could go into, the best first; used where `where` is None.
      checks: that are expected to catch it, the first of them first.
      causes: names that a report may give it, besides its own.
      claim: changes the declaration of the pair too, such as its optimizer.
    """

    id: str
    title: str
    edit: Edit
    group: str = ""
    where: str | None = None
    pairs: tuple[Pair, ...] = ()
    sites: Callable[[Any], Iterable[str]] | None = None
    checks: tuple[str, ...] = ("forward",)
    causes: tuple[str, ...] = ()
    claim: Callable[[Pair], Pair] | None = None

    def __post_init__(self) -> None:
        if (self.where is None) == (self.sites is None):
            raise UsageError(f"fault {self.id!r}: give either `where`, a path, or `sites`, which finds one")
        if self.where is not None and not self.pairs:
            raise UsageError(f"fault {self.id!r}: `where` is {self.where!r}, so `pairs` must say in which pairs")

    def site(self, model: Any) -> str | None:
        """Where it goes in a candidate; None where it does not apply."""
        if self.where is not None:
            return self.where
        assert self.sites is not None
        return next(iter(self.sites(model)), None)

    @property
    def names(self) -> frozenset[str]:
        """Every cause id that names it rightly."""
        return frozenset((self.id, *self.causes))


def at(
    pair: Pair,
    where: str,
    name: str,
    title: str,
    edit: Edit,
    *,
    checks: tuple[str, ...] = ("forward",),
    causes: tuple[str, ...] = (),
    claim: Callable[[Pair], Pair] | None = None,
) -> Fault:
    """A fault of one pair, at a known place; see `Fault` for the arguments."""
    return Fault(id=name, title=title, edit=edit, where=where, pairs=(pair,), checks=checks, causes=causes, claim=claim)


def family(group: str, *faults: Fault) -> tuple[Fault, ...]:
    """Faults of one group."""
    return tuple(replace(fault, group=group) for fault in faults)
