"""The spine: run both sides, judge, locate, explain, report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import weight_bridge
from parity._errors import ReferenceRefuses, StructureMismatch, UsageError
from parity.backends import Call
from parity.blame import told_in_a_line
from parity.checks import named
from parity.draws import SEED_BITS
from parity.explore import Budget, explore
from parity.fitting import require_applied
from parity.formats import Precision, require_known
from parity.judgement import told
from parity.layout import Layouts
from parity.pair import DEFAULT_CHECKS, Pair
from parity.record import Example
from parity.report import Report, Result
from parity.session import Session
from parity.survey import Stop, Survey, examine
from parity.trial import Trial


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
    require_known(precision)
    chosen = named(checks)
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
    trial = Trial(session, Example(arrays), precision)
    try:
        found = examine(trial, chosen, ())
    except ReferenceRefuses as refusal:
        raise UsageError(f"the reference refuses these inputs: {refusal}") from refusal
    require_applied(trial)
    notes = told(found.notes)
    if found.ok:
        mode = "training" if train else "evaluation"
        notes = (*notes, f"proved on these inputs alone, in {mode} mode; a parity.Pair draws values, sizes and modes")
    return conclude(trial, Report(session.name, "cpu", precision, found.results, notes=notes))


def check(
    pair: Pair,
    *,
    candidate: str | None = None,
    examples: int = 25,
    precision: Precision = "float64",
    device: str = "cpu",
    seed: int = 0,
    checks: tuple[str, ...] | None = None,
    reproduce: str = "",
    diagnose: bool = True,
) -> Report:
    """Explores a pair and reports the worst of every check, or the smallest failing example.

    Args:
      pair: the claim.
      candidate: name of one of its candidates; the first by default.
      examples: how many to draw.
      precision: floating format of both sides.
      device: where the candidate runs, `cpu` or `gpu`; the reference stays on the CPU.
      seed: of everything drawn; the same seed draws the same examples.
      checks: names of checks in place of the pair's own.
      reproduce: command that the report shows for a failure.
      diagnose: look for where a failure starts and why; not needed where only the verdict counts.

    Returns:
      The report over all examples.

    Raises:
      UsageError: an argument, or the pair, is not usable.
    """
    from parity.backends.device import placed

    require_known(precision)
    if examples < 1:
        raise UsageError(f"examples={examples}: expected 1 or more")
    if seed.bit_length() > SEED_BITS:
        raise UsageError(f"seed={seed}: expected a number of {SEED_BITS} bits")
    pair = pair if checks is None else replace(pair, checks=checks)
    chosen, _ = pair.candidate(candidate)
    with placed(device) as where, told_in_a_line(f"pair {pair.name!r} [{chosen}]"):
        report = _explored(pair, chosen, precision, Budget.of(examples, seed), diagnose=diagnose)
    return replace(report, pair=f"{pair.name} [{chosen}]", device=where, reproduce="" if report.ok else reproduce)


def _explored(pair: Pair, candidate: str, precision: Precision, budget: Budget, *, diagnose: bool) -> Report:
    """The survey of a pair, or the report of its smallest failing trial."""
    survey = Survey(pair)
    try:
        explore(pair, candidate, precision, budget, survey.visit)
    except Stop as stop:
        survey.require_layout()
        example = f"{stop.case}, {stop.trial.example.profile} values, seed {stop.trial.example.seed}"
        report = Report(pair.name, "", precision, stop.found.results, example=example, notes=told(stop.found.notes))
        return conclude(stop.trial, report) if diagnose else report
    except StructureMismatch as mismatch:
        return Report(pair.name, "", precision, (Result.broken("forward", str(mismatch)),))
    except weight_bridge.WeightBridgeError as refusal:
        return Report(pair.name, "", precision, (Result.broken("carry", str(refusal)),))
    survey.require_layout()
    return survey.report(precision)


def conclude(trial: Trial, report: Report) -> Report:
    """Adds to a failing report where the sides part and why."""
    if report.ok:
        return report
    from parity.diagnosis import diagnose

    return diagnose(trial, report)


def _array(value: Any) -> np.ndarray:
    """An input as float64, integer or boolean array."""
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array
