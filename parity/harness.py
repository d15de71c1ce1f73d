"""The spine: run both sides, judge, locate, explain, report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import weight_bridge
from parity._errors import StructureMismatch
from parity.backends import Call
from parity.checks import Check, named
from parity.explore import Budget, Case, explore
from parity.formats import Precision
from parity.layout import Layouts
from parity.pair import DEFAULT_CHECKS, Pair
from parity.record import Example
from parity.report import Report, Result
from parity.session import Session, Trial
from parity.tolerance import Override


def compare(
    reference: Any,
    candidate: Any,
    *inputs: Any,
    carry: Any = "infer",
    layout: Any = None,
    checks: tuple[str, ...] = DEFAULT_CHECKS,
    precision: Precision = "float64",
    train: bool = False,
    method: str | None = None,
    output: Any = None,
    name: str | None = None,
) -> Report:
    """Compares a torch module with a JAX model on given inputs.

    Args:
      reference: a `torch.nn.Module`; it is copied, never changed.
      candidate: an NNX module; `(linen module, variables)`; an Equinox module; or a function.
      *inputs: positional arguments, anything `numpy.asarray` takes, in the reference's layout.
      carry: `"infer"` lets `weight_bridge` map the reference's weights; a mapping or a `weight_bridge.Plan` does so
        by rules; None leaves both sides their own weights, and nothing is compared that needs the mapping.
      layout: axis orders that differ on the candidate's side: `"NCHW->NHWC"` for every input and output of that
        rank, or a mapping from leaf names (`input[0]`, `output`) to such texts.
      checks: names of checks.
      precision: floating format of both sides; below float64 the reference's own error is the yardstick.
      train: compare in training mode rather than in evaluation mode.
      method: method called on both sides in place of the model itself.
      output: maps the raw result of either side to what is compared.
      name: shown in the report; the classes' names by default.

    Returns:
      The report; `report.ok` says whether the port is right on these inputs.

    Raises:
      UsageError: an argument is not usable.
      weight_bridge.WeightBridgeError: the weights cannot be mapped.

    Example:
      >>> import jax.numpy as jnp, torch
      >>> report = compare(torch.nn.GELU(), lambda x: x * 0.5, [[1.0, 2.0]], carry=None)
      >>> report.ok
      False
    """
    arrays = tuple(_array(value) for value in inputs)
    session = Session.of_models(
        reference,
        candidate,
        arrays,
        carry=carry,
        layouts=Layouts.of(layout),
        modes=("train" if train else "eval",),
        weights=None,
        call=Call(method, output),
        name=name or type(reference).__name__,
    )
    trial = session.trial(Example(arrays), precision)
    results, notes = examine(trial, named(checks), ())
    return conclude(trial, Report(session.name, "cpu", precision, results, notes=notes))


def check(
    pair: Pair,
    *,
    candidate: str | None = None,
    examples: int = 25,
    precision: Precision = "float64",
    device: str = "cpu",
    seed: int = 0,
    reproduce: str = "",
) -> Report:
    """Explores a pair and reports the worst of every check, or the smallest failing example.

    Args:
      pair: the claim.
      candidate: name of one of its candidates; the first by default.
      examples: how many to draw.
      precision: floating format of both sides.
      device: where the candidate runs, `cpu` or `gpu`; the reference stays on the CPU.
      seed: of everything drawn; the same seed draws the same examples.
      reproduce: command that the report shows for a failure.

    Returns:
      The report over all examples.
    """
    from parity.backends.device import placed

    chosen, _ = pair.candidate(candidate)
    with placed(device) as where:
        report = _explored(pair, chosen, precision, Budget.of(examples, seed))
    return replace(report, pair=f"{pair.name} [{chosen}]", device=where, reproduce="" if report.ok else reproduce)


def _explored(pair: Pair, candidate: str, precision: Precision, budget: Budget) -> Report:
    """The survey of a pair, or the report of its smallest failing trial."""
    survey = Survey(pair)
    try:
        explore(pair, candidate, precision, budget, survey.visit)
    except _Stop as stop:
        example = f"{stop.case}, {stop.trial.example.profile} values, seed {stop.trial.example.seed}"
        return conclude(stop.trial, Report(pair.name, "", precision, stop.results, example=example))
    except StructureMismatch as mismatch:
        return Report(pair.name, "", precision, (Result.broken("forward", str(mismatch)),))
    except weight_bridge.WeightBridgeError as refusal:
        return Report(pair.name, "", precision, (Result.broken("carry", str(refusal)),))
    return survey.report(precision)


def examine(
    trial: Trial, checks: tuple[Check, ...], overrides: tuple[Override, ...]
) -> tuple[tuple[Result, ...], tuple[str, ...]]:
    """Runs checks on one trial: a result for each that can run, a note for each that cannot."""
    able = [c for c in checks if trial.session.plan is not None or not c.needs_plan]
    notes = tuple(f"{c.name} needs carried weights, and carry is None: not run" for c in checks if c not in able)
    return tuple(Result.of(c.name, c.run(trial, overrides)) for c in able), notes


def conclude(trial: Trial, report: Report) -> Report:
    """Adds to a failing report where the sides part and why."""
    return report


class Survey:
    """Collects the worst result of every check over all visited trials."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._checks = named(pair.checks)
        self._worst: dict[str, Result] = {}
        self._examples = 0
        self._cases: set[str] = set()
        self._notes: tuple[str, ...] = tuple(
            f"override of {o.check} to {o.limit:g} until {o.expires}: {o.reason}" for o in pair.overrides
        )

    def visit(self, case: Case, trial: Trial) -> None:
        """Judges one trial; raises at the first failure."""
        results, _ = examine(trial, self._checks, self._pair.overrides)
        if not all(result.ok for result in results):
            raise _Stop(case, trial, results)
        self._examples += 1
        self._cases.add(str(case))
        for result in results:
            self._worst[result.check] = result.merged(self._worst.get(result.check, result))

    def report(self, precision: Precision) -> Report:
        """The worst of everything, when nothing failed."""
        results = tuple(self._worst.values())
        empty = tuple(f"{r.check} found nothing to compare" for r in results if not r.leaves)
        return Report(
            self._pair.name,
            "",
            precision,
            results,
            examples=self._examples,
            configs=len(self._cases),
            notes=(*self._notes, *empty),
        )


class _Stop(Exception):
    """A failing trial."""

    def __init__(self, case: Case, trial: Trial, results: tuple[Result, ...]) -> None:
        super().__init__(str(case))
        self.case, self.trial, self.results = case, trial, results


def _array(value: Any) -> np.ndarray:
    """An input as float64, integer or boolean array."""
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array
