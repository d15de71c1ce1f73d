"""The report for a terminal: what, where, why, and how to see it again."""

from __future__ import annotations

import numpy as np

from parity.report import Report, Result


def render(report: Report) -> str:
    """The report as plain text, under a dozen lines.

    Args:
      report: what was found.

    Returns:
      Lines joined by newlines, without one at the end.
    """
    verdict = "parity" if report.ok else "DIVERGENCE"
    lines = [f"{verdict}  {report.pair}  {report.precision} on {report.device}, {_ran(report)}"]
    lines += [_row(result) for result in report.results]
    lines += [f"  {_explained(result)}" for result in report.results if not result.ok][:3]
    if report.divergence is not None:
        d = report.divergence
        role = "introduced by" if d.introduced else "first seen at"
        lines.append(f"  where      {role} {d.reference or 'the whole model'} (candidate {d.candidate or 'root'})")
    lines += [
        f"  why        {cause.id} at {cause.where}: {cause.detail} (explains {cause.explains:.1%})"
        for cause in report.causes[:3]
    ]
    if not report.ok and report.example:
        lines.append(f"  example    {report.example}")
    if not report.ok and report.reproduce:
        lines.append(f"  reproduce  {report.reproduce}")
    lines += [f"  note       {note}" for note in report.notes]
    return "\n".join(lines)


def _ran(report: Report) -> str:
    """How much was run."""
    if report.examples == 1:
        return "1 example"
    return f"{report.examples} examples of {report.configs} configuration{'s' if report.configs != 1 else ''}"


def _row(result: Result) -> str:
    """One check on one line."""
    if not result.leaves:
        return f"  -     {result.check:<11} {result.detail}"
    mark = "ok  " if result.ok else "FAIL"
    error, bound = _number(result.max_relative_error), _number(result.tolerance)
    return f"  {mark}  {result.check:<11} error {error}  (bound {bound}, {_ulps(result)})"


def _explained(result: Result) -> str:
    """The worst element of a failed check."""
    if not np.isfinite(result.max_relative_error):
        return f"{result.check}: {result.worst}: {result.detail} ({result.mode} mode)"
    return (
        f"{result.check}: worst at {result.worst}: the candidate has {result.got:.9g}, "
        f"the reference {result.expected:.9g} ({result.mode} mode)"
    )


def _number(value: float) -> str:
    return f"{value:.1e}" if np.isfinite(value) else "—"


def _ulps(result: Result) -> str:
    return f"{result.max_ulp:.3g} ulp at {result.worst}" if np.isfinite(result.max_ulp) else result.worst
