"""From a failing trial to where and why: locate the module, then explain what it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from parity.report import Report

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
        located = next(_located(trial, report), None)
        if located is None:
            return report
        causes, seen = explain(located)
    except Exception as problem:  # a report is worth more than a traceback from looking for its cause
        return replace(report, notes=(*report.notes, f"not located: {type(problem).__name__}: {problem}"))
    divergence = replace(located.divergence, pattern=seen)
    return replace(report, divergence=divergence, causes=causes, depth=located.depth)


def _located(trial: Trial, report: Report) -> Iterator[Located]:
    """The module behind the first failing check whose failure a trace shows."""
    from parity.localise import localise
    from parity.routes import routes

    for result in report.results:
        for route in routes(trial, result) if not result.ok else ():
            located = localise(route.trial, route.check, route.mode)
            if located.divergence.introduced:
                yield replace(located, divergence=replace(located.divergence, check=result.check))
