"""The report for a terminal: what, where, why, and how to see it again."""

from __future__ import annotations

import numpy as np

from parity.report import Cause, Divergence, Report, Result

SHOWN_CAUSES = 3
SHOWN_NOTES = 6


def render(report: Report) -> str:
    """The report as plain text: a line per check, then where, why, and how to see it again.

    Args:
      report: what was found.

    Returns:
      Lines joined by newlines, without one at the end.
    """
    verdict = "parity" if report.ok else "DIVERGENCE"
    lines = [f"{verdict}  {report.pair}  {report.precision} on {report.device}, {_ran(report)}"]
    lines += [_row(result) for result in report.results]
    if report.divergence is not None:
        lines.append(f"  where      {_where(report.divergence)}")
        lines += [f"  why        {_why(cause)}" for cause in report.causes[:SHOWN_CAUSES]] or [
            f"  why        {report.unexplained}"
        ]
    if not report.ok:
        lines += [f"  example    {report.example}"] if report.example else []
        lines += [f"  reproduce  {report.reproduce}"] if report.reproduce else []
    lines += [f"  note       {note}" for note in report.notes[:SHOWN_NOTES]]
    if len(report.notes) > SHOWN_NOTES:
        lines.append(f"  note       and {len(report.notes) - SHOWN_NOTES} more, in the JSON and HTML reports")
    return "\n".join(lines)


def _ran(report: Report) -> str:
    """How much was run."""
    if report.examples == 1:
        return "1 example"
    return f"{report.examples} examples of {report.configs} configuration{'s' if report.configs != 1 else ''}"


def _row(result: Result) -> str:
    """One check on one line: its error and bound, and where it fails the worst element."""
    if not result.leaves:
        return f"  -     {result.check:<12} {result.detail}"
    if not np.isfinite(result.max_relative_error):
        mark = f"ok    {result.check:<12} {result.verdict}: " if result.ok else f"FAIL  {result.check:<12} "
        return f"  {mark}{result.detail}{_at(result)}"
    measured = f"{result.check:<12} error {result.max_relative_error:.1e}, bound {result.tolerance:.1e}"
    if result.ok:
        verdict = f", {result.passed_as}" if result.passed_as else ""
        return f"  ok    {measured}{verdict}"
    verdict = "" if result.verdict == "bug" else f"{result.verdict}: "
    return f"  FAIL  {measured}: {verdict}{result.got:.6g}, reference {result.expected:.6g}{_at(result)}"


def _at(result: Result) -> str:
    """The place of the worst element, and the mode it was seen in."""
    mode = f" ({result.mode} mode)" if result.mode else ""
    return f" at {result.worst}{mode}" if result.worst else mode


def _where(divergence: Divergence) -> str:
    """The first diverging module of both sides."""
    name, path = divergence.reference or "the whole model", divergence.candidate or "the whole model"
    return f"{divergence.role} {name} (candidate: {path})"


def _why(cause: Cause) -> str:
    """A cause with the share of the error it explains."""
    place = f" at {cause.where}" if cause.where else ""
    return f"{cause.id}{place}: {cause.detail} (explains {cause.explains:.1%})"
