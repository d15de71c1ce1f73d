"""From a failing trial to where and why: locate the module, then explain what it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from parity.report import Cause, Divergence, Report

if TYPE_CHECKING:
    from parity.localise import Located
    from parity.trial import Trial


def diagnose(trial: Trial, report: Report) -> Report:
    """Adds to a failing report where the sides part and why.

    Args:
      trial: the failing example.
      report: its results.

    Returns:
      The report with its divergence, causes and error by depth, as far as they can be told.
    """
    from parity.explain import explain
    from parity.explain.initial import initial

    if any(result.check == "initial" and not result.ok for result in report.results):
        found = initial(trial)
        if found is not None and all(r.ok or r.check == "initial" for r in report.results):
            return replace(report, divergence=found[0], causes=found[1])
    try:
        found = next(_located(trial, report), None)
        if found is None:
            known = _known(trial, report)
            return report if known is None else replace(report, divergence=known[0], causes=known[1])
        located, check = found
    except Exception as problem:  # a report is worth more than a traceback from looking for its cause
        return replace(report, notes=(*report.notes, f"not located: {type(problem).__name__}: {problem}"))
    divergence = replace(located.divergence, check=check)
    try:
        causes, seen = explain(located)
    except Exception as problem:  # nor is the place less known for want of a cause
        told = f"not explained: {type(problem).__name__}: {problem}"
        return replace(report, divergence=divergence, depth=located.depth, notes=(*report.notes, told))
    divergence = replace(divergence, pattern=seen)
    return replace(report, divergence=divergence, causes=causes, depth=located.depth)


def _known(trial: Trial, report: Report) -> tuple[Divergence, tuple[Cause, ...]] | None:
    """What a failing check itself tells where no trace does: keys, leaves that train otherwise, formats."""
    from parity.explain.descent import descent
    from parity.explain.formats import formats
    from parity.explain.keys import keys
    from parity.explain.merged import merged

    failing = {result.check: result for result in report.results if not result.ok}
    if "randomness" in failing:
        return keys(trial)
    if "trajectory" in failing:
        return descent(trial) or merged(trial, failing["trajectory"].worst)
    if "dtypes" in failing:
        return formats(trial, failing["dtypes"])
    return None


def _located(trial: Trial, report: Report) -> Iterator[tuple[Located, str]]:
    """The module behind the first failing check whose failure a trace shows, and that check."""
    from parity.localise import localise
    from parity.routes import routes

    for result in report.results:
        for route in routes(trial, result) if not result.ok else ():
            located = localise(route.trial, route.check, route.mode)
            if located.divergence.introduced:
                yield located, result.check
