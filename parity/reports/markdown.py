"""Reports as the Markdown summary of a CI job: one table, then the failures."""

from __future__ import annotations

from parity.report import Report, Result


def render_markdown(reports: list[Report]) -> str:
    """A table of pairs × checks with the measured errors, the text of every failure, and the notes on the others.

    Args:
      reports: what was found.

    Returns:
      GitHub-flavoured Markdown, ending with a newline.

    Example:
      >>> print(render_markdown([]), end="")
      ## Parity: 0 of 0 pairs agree
    """
    checks = list(dict.fromkeys(result.check for report in reports for result in report.results))
    lines = [f"## Parity: {sum(report.ok for report in reports)} of {len(reports)} pairs agree"]
    if reports:
        lines += ["", f"| pair | {' | '.join(checks)} |", f"|---|{'---|' * len(checks)}"]
        lines += [_row(report, checks) for report in reports]
    for report in reports:
        if not report.ok:
            lines += ["", f"### {report.pair}", "", "```text", str(report), "```"]
    notes = [f"{report.pair}: {note}" for report in reports if report.ok for note in report.notes]
    if notes:
        lines += ["", "### Notes on pairs that agree", "", "```text", *notes, "```"]
    return "\n".join(lines) + "\n"


def _row(report: Report, checks: list[str]) -> str:
    """One pair."""
    found = {result.check: result for result in report.results}
    cells = " | ".join(_cell(found.get(check)) for check in checks)
    return f"| {'✅' if report.ok else '❌'} {report.pair} | {cells} |"


def _cell(result: Result | None) -> str:
    """The measured error of one check, with the verdict that lets it pass; a dash where it did not run."""
    if result is None or not result.leaves:
        return "–"
    return f"{result.size} {result.passed_as}".rstrip() if result.ok else f"**{result.size}**"
