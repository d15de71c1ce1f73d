"""From a failing trial to where and why: locate the module, then explain what it does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from parity.pair import Mode
from parity.report import Report, Result

if TYPE_CHECKING:
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
    from parity.localise import TRACED, localise

    failed = first_failure(report, TRACED)
    if failed is None:
        return report
    mode: Mode = "train" if failed.mode == "train" else "eval"
    located = localise(trial, failed.check, mode)
    causes, seen = explain(located)
    divergence = replace(located.divergence, pattern=seen)
    return replace(report, divergence=divergence, causes=causes, depth=located.depth)


def first_failure(report: Report, checks: tuple[str, ...]) -> Result | None:
    """The first failing result of some checks, in the order in which a fault shows first."""
    failing = {result.check: result for result in report.results if not result.ok}
    return next((failing[check] for check in checks if check in failing), None)
