"""What a comparison found: results per check, where it starts, why, and how to see it again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from parity.judgement import Judgement


@dataclass(frozen=True)
class Result:
    """The worst leaf of one check over everything that was run.

    Attributes:
      check: name of the check.
      ok: every leaf of every example was within its bound.
      max_relative_error: of the worst leaf, relative to its scale.
      max_ulp: largest distance of an element, in ulps.
      tolerance: bound of the worst leaf.
      worst: where, `output[0][1, 2]`.
      expected: the reference there.
      got: the candidate there.
      mode: `eval` or `train`.
      leaves: how many leaves were judged; a check that judged none proves nothing.
      detail: what is wrong, or why the bound is what it is.
      histogram: ulp distances of the worst leaf: 0, up to 1, up to 2, up to 4, …
      top: index, reference and candidate of the worst leaf's worst elements.
      verdict: what the worst leaf's error means, as `parity.judgement.Verdict` lists.
      ulp_quantile: 0.99 quantile of the worst leaf's distances.
    """

    check: str
    ok: bool
    max_relative_error: float
    max_ulp: float
    tolerance: float
    worst: str
    expected: float
    got: float
    mode: str
    leaves: int
    detail: str
    histogram: tuple[int, ...] = ()
    top: tuple[tuple[tuple[int, ...], float, float], ...] = ()
    verdict: str = "parity"
    ulp_quantile: float = 0.0

    @classmethod
    def of(cls, check: str, worst: Judgement | None, *, ok: bool, leaves: int) -> Result:
        """The worst judgement of a check, measured; passing trivially where there is none."""
        if worst is None:
            return cls(check, True, 0.0, 0.0, 0.0, "", 0.0, 0.0, "", 0, "nothing to compare")
        c = worst.comparison.measured()
        detail = c.problem or worst.bound.why
        at_worst = c.where, c.expected, c.got, worst.mode
        numbers = c.error, c.ulp, worst.bound.limit
        shape = c.histogram, c.top, worst.verdict, c.ulp_quantile
        return cls(check, ok, *numbers, *at_worst, leaves, detail, *shape)

    @property
    def passed_as(self) -> str:
        """The verdict that lets an error over the bound pass; empty for plain agreement and for failures."""
        return self.verdict if self.ok and self.verdict not in ("parity", "rounding") else ""

    @property
    def size(self) -> str:
        """The measured error in two digits, or what stands in place of a number."""
        if np.isfinite(self.max_relative_error):
            return f"{self.max_relative_error:.1e}"
        return "structure" if self.verdict == "structure" else "not finite"

    @classmethod
    def broken(cls, check: str, problem: str) -> Result:
        """What stands in a report where the sides could not be compared at all."""
        nowhere = np.inf, np.inf, 0.0, "", np.nan, np.nan, ""
        return cls(check, False, *nowhere, 1, problem, verdict="structure")


@dataclass(frozen=True)
class Divergence:
    """The first module at which the sides part.

    Attributes:
      check: the check that was traced.
      reference: module name on the torch side.
      candidate: module path on the JAX side.
      introduced: the module makes the error from equal inputs, rather than passing it on.
      error: relative error of the module's output on the reference's own input.
      pattern: what the error looks like, in a phrase.
    """

    check: str
    reference: str
    candidate: str
    introduced: bool
    error: float = np.nan
    pattern: str = ""

    @property
    def role(self) -> str:
        """How the module stands to the error, in words."""
        return "introduced by" if self.introduced else "first seen at"


@dataclass(frozen=True)
class ModuleError:
    """One module in the order of the reference's calls.

    Attributes:
      name: on the torch side; empty for the whole model.
      path: on the JAX side.
      own_error: relative error of its output on the reference's own input: what it introduces.
      carried_error: relative error of its output in the candidate's own run: with what was passed on.
    """

    name: str
    path: str
    own_error: float
    carried_error: float


@dataclass(frozen=True)
class Cause:
    """A named explanation with its evidence.

    Attributes:
      id: of the catalogue, `norm-epsilon`.
      where: module name on the torch side.
      detail: both settings, in words.
      explains: share of the error that vanishes when the reference is recomputed with the suspected mistake, or the
        candidate without it; 1 where formats, keys or initial values show the mistake themselves.
    """

    id: str
    where: str
    detail: str
    explains: float


@dataclass(frozen=True)
class Report:
    """Everything known about one comparison.

    Attributes:
      pair: name, with the candidate in brackets.
      device: where both sides ran.
      precision: floating format of the candidate's run.
      results: one per check, in the order in which a fault shows first.
      divergence: where it starts, or None.
      causes: best first.
      depth: error of every traced module, in call order.
      reproduce: command that shows the failure again.
      examples: how many examples were run.
      configs: how many configurations they came from.
      example: the smallest failing example, as text.
      notes: remarks that are no failure: overrides in force, checks that could not run.
    """

    pair: str
    device: str
    precision: str
    results: tuple[Result, ...]
    divergence: Divergence | None = None
    causes: tuple[Cause, ...] = ()
    depth: tuple[ModuleError, ...] = ()
    reproduce: str = ""
    examples: int = 1
    configs: int = 1
    example: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(result.ok for result in self.results)

    @property
    def unexplained(self) -> str:
        """What stands in the place of a cause where there is none: that, and how the error looks."""
        pattern = self.divergence.pattern if self.divergence is not None else ""
        return "; ".join(filter(None, ("no known cause reproduces the candidate's numbers", pattern)))

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "pair": self.pair,
            "ok": self.ok,
            "device": self.device,
            "precision": self.precision,
            "results": [_plain(result) for result in self.results],
            "divergence": _plain(self.divergence) if self.divergence else None,
            "causes": _plain(self.causes),
            "depth": _plain(self.depth),
            "reproduce": self.reproduce,
            "examples": self.examples,
            "configs": self.configs,
            "example": self.example,
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Report:
        """The report that `to_dict` made plain; null numbers come back as inf."""
        rebuilt: dict[str, Any] = {key: value for key, value in plain.items() if key != "ok"}
        rebuilt["results"] = tuple(_record(Result, result) for result in plain["results"])
        rebuilt["divergence"] = _record(Divergence, plain["divergence"]) if plain["divergence"] else None
        rebuilt["causes"] = tuple(_record(Cause, cause) for cause in plain["causes"])
        rebuilt["depth"] = tuple(_record(ModuleError, module) for module in plain["depth"])
        rebuilt["notes"] = tuple(plain["notes"])
        return cls(**rebuilt)

    def to_json(self) -> str:
        """The report as one JSON object; infinite and undefined numbers become null."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def __str__(self) -> str:
        from parity.reports.text import render

        return render(self)


def _plain(value: Any) -> Any:
    """Records as dictionaries, with JSON's numbers."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in vars(value).items()} if hasattr(value, "__dict__") else value


_Record = TypeVar("_Record")


def _record(build: type[_Record], plain: dict[str, Any]) -> _Record:
    """A record from its plain form."""
    return build(**{key: np.inf if value is None else _tupled(value) for key, value in plain.items()})


def _tupled(value: Any) -> Any:
    """Lists as tuples, at every depth."""
    return tuple(map(_tupled, value)) if isinstance(value, list) else value
