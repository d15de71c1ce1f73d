"""A frozen plan, closed both ways: every tensor used or ignored with a reason, every leaf filled once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from weight_bridge import mapping as written
from weight_bridge._errors import ConversionError, MisfitError, PlanError
from weight_bridge.mapping import Mapping, Rule, Verdict
from weight_bridge.spec import Array, Spec
from weight_bridge.transforms import Arrays, Information, Transform


@dataclass(frozen=True)
class Step:
    """Fills leaves from tensors: several sources to one target, or one source to several targets.

    Args:
      sources: names, in the order the transform takes them.
      targets: paths, in the order the transform gives them.
      transform: from sources to targets.
      verdict: `proved` by layer types, `assumed` by names, or `written` in a mapping.
      why: the evidence.
      source_specs: shape and dtype of each source.
      target_specs: shape and dtype of each target as it will be written.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    transform: Transform
    verdict: Verdict
    why: str
    source_specs: tuple[Spec, ...]
    target_specs: tuple[Spec, ...]

    @property
    def information(self) -> Information:
        """What the transform does to information: `exact`, `folded` or `lossy`."""
        return self.transform.information(self.source_specs)

    def apply(self, arrays: AnyMapping[str, Array]) -> Arrays:
        """Returns the targets' arrays; values that the target has no place for are a `ConversionError`."""
        try:
            return self.transform.apply(tuple(arrays[name] for name in self.sources))
        except MisfitError as misfit:
            raise ConversionError(f"{', '.join(self.targets)} from {' + '.join(self.sources)}: {misfit}") from None

    def inverse(self, arrays: Arrays) -> Arrays:
        """Returns the sources' arrays."""
        return self.transform.inverse(self.source_specs).apply(arrays)

    def pullback(self, gradients: Arrays, primal: AnyMapping[str, Array]) -> Arrays:
        """Returns the sources' gradients; `primal` matters where the transform is curved."""
        values = tuple(primal[name] for name in self.sources) if self.transform.curved else ()
        return self.transform.pullback(self.source_specs, gradients, values)


@dataclass(frozen=True)
class Ignored:
    """A tensor that no leaf takes.

    Args:
      name: its name.
      reason: why that is no loss.
      same_as: the used tensor whose storage it shares, or whose elements it must equal.
      must_equal: whether that equality is only expected, so that reading has to confirm it.
    """

    name: str
    reason: str
    same_as: str | None = None
    must_equal: bool = False


@dataclass(frozen=True)
class Unfilled:
    """A leaf that keeps no value, as the caller allowed."""

    path: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a conversion will do, decided before any tensor is read; `print` shows one row per leaf.

    Args:
      origin: checkpoint and target, as messages call them.
      steps: in the order of target paths.
      ignored: tensors that stay unused, each with its reason.
      unfilled: leaves that stay empty, each with its reason.
      ties: groups of names that share one storage.
      notes: what the weights do not show and a port has to heed, such as conventions of momentum.
    """

    origin: tuple[str, str]
    steps: tuple[Step, ...]
    ignored: tuple[Ignored, ...] = ()
    unfilled: tuple[Unfilled, ...] = ()
    ties: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    def apply(self, arrays: AnyMapping[str, Any]) -> dict[str, Array]:
        """Carries values over.

        Args:
          arrays: name → array, of the planned shapes and any dtype.

        Returns:
          Path → array, views where the transform allows.

        Raises:
          PlanError: names are missing, or shapes are not the planned ones.
        """
        given = {name: np.asarray(array) for name, array in arrays.items()}
        self._check(
            given, {n: s for step in self.steps for n, s in zip(step.sources, step.source_specs, strict=True)}, "tensor"
        )
        return {path: array for step in self.steps for path, array in zip(step.targets, step.apply(given), strict=True)}

    def inverse(self, arrays: AnyMapping[str, Any]) -> dict[str, Array]:
        """Carries values back.

        Args:
          arrays: path → array, of the planned shapes.

        Returns:
          Name → array for every tensor that is used or tied to one that is; ignored ones are absent.

        Raises:
          PlanError: paths are missing, or shapes are not the planned ones.
        """
        given = {path: np.asarray(array) for path, array in arrays.items()}
        self._check(
            given, {p: s for step in self.steps for p, s in zip(step.targets, step.target_specs, strict=True)}, "leaf"
        )
        back: dict[str, Array] = {}
        for step in self.steps:
            values = step.inverse(tuple(given[path] for path in step.targets))
            back.update({name: value for name, value in zip(step.sources, values, strict=True) if name not in back})
        return back | {tie.name: back[tie.same_as] for tie in self.ignored if tie.same_as in back}

    def pullback(self, gradients: AnyMapping[str, Any], primal: AnyMapping[str, Any] | None = None) -> dict[str, Array]:
        """Carries gradients back: the transposed Jacobian of `apply`.

        Args:
          gradients: path → gradient of the leaf's shape, any floating dtype. Leaves without one (integers,
            statistics) may be absent; their tensors are then absent from the result.
          primal: name → value at which to linearise; only steps that are not linear need it (weights that torch
            computes from other tensors, such as those of weight normalisation).

        Returns:
          Name → gradient. A tensor that fills several leaves gets the sum, and so does every name tied to it.

        Raises:
          PlanError: gradients of unknown leaves, or no values for a step that is not linear.
        """
        at = {name: np.asarray(value) for name, value in (primal or {}).items()}
        unknown = sorted(set(gradients) - {path for step in self.steps for path in step.targets})
        if unknown:
            raise PlanError("gradients of leaves that the plan does not fill", unknown)
        total: dict[str, Array] = {}
        for step in self.steps:
            given = {path: np.asarray(gradients[path]) for path in step.targets if path in gradients}
            if not given:
                continue
            dtype = next(iter(given.values())).dtype
            cotangents = tuple(
                given.get(path, np.zeros(spec.shape, dtype))
                for path, spec in zip(step.targets, step.target_specs, strict=True)
            )
            lacking = [name for name in step.sources if step.transform.curved and name not in at]
            if lacking:
                raise PlanError(f"{step.transform} is not linear: its gradient needs the values of", lacking)
            for name, value in zip(step.sources, step.pullback(cotangents, at), strict=True):
                total[name] = total[name] + value if name in total else value
        return self._tied(total)

    def _tied(self, total: dict[str, Array]) -> dict[str, Array]:
        """Every name of a tie gets the sum over the names of the tie."""
        groups = [*self.ties, *((tie.same_as, tie.name) for tie in self.ignored if tie.same_as and tie.must_equal)]
        for names in groups:
            parts = [total[name] for name in names if name in total]
            if parts:
                whole = sum(parts[1:], start=parts[0])
                total |= dict.fromkeys(names, whole)
        return total

    @staticmethod
    def _check(given: AnyMapping[str, Array], wanted: AnyMapping[str, Spec], what: str) -> None:
        problems = [f"{key}: no such {what} given" for key in wanted if key not in given]
        problems += [
            f"{key}: planned shape {list(spec.shape)}, got {list(given[key].shape)}"
            for key, spec in wanted.items()
            if key in given and given[key].shape != spec.shape
        ]
        if problems:
            raise PlanError("the arrays are not those that were planned", problems)

    def __str__(self) -> str:
        rows = [("leaf", "shape", "from", "transform", "verdict", "why")]
        for step in self.steps:
            for path, spec in zip(step.targets, step.target_specs, strict=True):
                verdict = f"{step.verdict}, {step.information}"
                rows.append(
                    (path, str(spec), " + ".join(step.sources) or "nothing", str(step.transform), verdict, step.why)
                )
        lines = [f"plan: {self.origin[0]} -> {self.origin[1]}", *_aligned(rows)]
        lines += [f"ignored: {entry.name}: {entry.reason}" for entry in self.ignored]
        lines += [f"unfilled: {entry.path}: {entry.reason}" for entry in self.unfilled]
        lines += [f"tied: {' = '.join(names)}" for names in self.ties]
        lines += [f"note: {note}" for note in self.notes]
        counts = ", ".join(f"{number} {verdict}" for verdict, number in self.counts().items())
        return "\n".join([*lines, f"{sum(len(step.targets) for step in self.steps)} leaves: {counts or 'none'}"])

    def counts(self) -> dict[str, int]:
        """Returns the number of leaves by verdict, `proved` first."""
        verdicts = [step.verdict for step in self.steps for _ in step.targets]
        return {verdict: verdicts.count(verdict) for verdict in ("proved", "assumed", "written") if verdict in verdicts}

    def to_json(self) -> str:
        """Returns the plan as one JSON object."""
        steps = [
            {
                "targets": list(step.targets),
                "sources": list(step.sources),
                "transform": str(step.transform),
                "verdict": step.verdict,
                "information": step.information,
                "why": step.why,
                "source_specs": [asdict(spec) for spec in step.source_specs],
                "target_specs": [asdict(spec) for spec in step.target_specs],
            }
            for step in self.steps
        ]
        return json.dumps(
            {
                "checkpoint": self.origin[0],
                "target": self.origin[1],
                "steps": steps,
                "ignored": [asdict(entry) for entry in self.ignored],
                "unfilled": [asdict(entry) for entry in self.unfilled],
                "ties": [list(names) for names in self.ties],
                "notes": list(self.notes),
            },
            indent=2,
        )

    def to_mapping(self) -> Mapping:
        """Returns the complete mapping of this plan, as `plan --save` writes it."""
        return Mapping(
            tuple(
                Rule(
                    tuple(map(written.literal, step.sources)),
                    tuple(map(written.literal, step.targets)),
                    step.transform,
                    f"{step.verdict}: {step.why}" if step.verdict != "written" else step.why,
                )
                for step in self.steps
            ),
            ignore=tuple(written.Ignore(written.literal(entry.name), entry.reason) for entry in self.ignored),
            leave=tuple(written.Leave(written.literal(entry.path), entry.reason) for entry in self.unfilled),
        )


def natural(text: str) -> list[tuple[int, str | int]]:
    """Returns a key that sorts `layers/10` after `layers/9`.

    Example:
      >>> sorted(["a/10", "a/9", "a/b"], key=natural)
      ['a/9', 'a/10', 'a/b']
    """
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text) if part]


def _aligned(rows: Sequence[Iterable[str]]) -> list[str]:
    table = [tuple(row) for row in rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
