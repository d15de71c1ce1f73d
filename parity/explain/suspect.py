"""What a hypothesis is: a mistake, where it would have been made, and the reference recomputed with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from parity.backends.torch_rewrite import Op, Replace
from parity.record import Arrays

Edit = Callable[[], AbstractContextManager[Any]]
"""Opens what makes the reference compute with a mistake."""


@dataclass(frozen=True)
class Setting:
    """A number or flag that both sides have, and that may differ.

    Attributes:
      name: in the reference's terms, `eps`.
      reference: its value there.
      suspected: the value that the candidate is suspected to have.
    """

    name: str
    reference: Any
    suspected: Any


@dataclass(frozen=True)
class Suspect:
    """One mistake at one place.

    Attributes:
      cause: id in the catalogue.
      where: torch name of the module.
      detail: the mistake in words; left empty where a setting says it all.
      replacements: calls of the reference that compute otherwise under the mistake, by place.
      setting: what a static reading of the candidate's modules can confirm.
      around: opened around the whole recomputation, for mistakes that are no matter of single calls.
      inputs: what the module is given instead, by leaf name.
      forward: what the module computes instead.
      measured: it holds a number that was chosen, among many, for what it explains.
    """

    cause: str
    where: str
    detail: str = ""
    replacements: Mapping[int, Replace] = field(default_factory=dict[int, Replace])
    setting: Setting | None = None
    around: Edit | None = None
    inputs: Callable[[Arrays], Arrays] | None = None
    forward: Callable[..., Any] | None = None
    measured: bool = False


@dataclass(frozen=True)
class Dial:
    """A number that the candidate may have otherwise, with a value still to be found.

    Attributes:
      cause: id in the catalogue, or a function from the found value to one.
      where: torch name of the module.
      name: of the number, in the reference's terms.
      reference: its value there.
      guesses: values worth trying first.
      build: value → replacements.
      positive: the value is searched on a logarithmic scale.
      detail: what else is mistaken with it, in words.
    """

    cause: str | Callable[[float], str]
    where: str
    name: str
    reference: float
    guesses: tuple[float, ...]
    build: Callable[[float], Mapping[int, Replace]]
    positive: bool = True
    detail: str = ""

    def at(self, value: float) -> Suspect:
        """The suspicion that the number has this value."""
        cause = self.cause if isinstance(self.cause, str) else self.cause(value)
        setting = Setting(self.name, self.reference, value)
        return Suspect(cause, self.where, self.detail, self.build(value), setting, measured=True)


Hypothesis = Suspect | Dial


def at(op: Op, cause: str, replace: Replace, detail: str, setting: Setting | None = None) -> Suspect:
    """A mistake in one call."""
    return Suspect(cause, op.owner, detail, {op.index: replace}, setting)


def changed(op: Op, cause: str, name: str, value: Any, detail: str = "") -> Suspect:
    """The same call with another argument."""
    setting = Setting(name, op.given.get(name), value)
    return Suspect(cause, op.owner, detail, {op.index: lambda o: o.again(**{name: value})}, setting)


def dialled(
    op: Op,
    cause: str | Callable[[float], str],
    name: str,
    reference: float,
    guesses: tuple[float, ...],
    compute: Callable[[Op, float], Any],
    *,
    positive: bool = True,
    detail: str = "",
) -> Dial:
    """A call that depends on a number to be found."""

    def build(value: float) -> Mapping[int, Replace]:
        return {op.index: lambda o: compute(o, value)}

    return Dial(cause, op.owner, name, reference, guesses, build, positive, detail)
