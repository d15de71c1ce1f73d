"""pytest's side: options, the `parity` marker, and reports written at the end of a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from parity.formats import Precision
    from parity.report import Report


@dataclass(frozen=True)
class Choices:
    """What the command line asks of every pair.

    Attributes:
      examples: draws per pair; None for the pair's default.
      precision: floating format.
      device: where the candidate runs.
      seed: of everything drawn.
      checks: `all`, or names with commas between; None for each pair's own.
      reports: what has been found in this session.
      properties: takes (name, value) of the running test, for JUnit files.
    """

    examples: int | None
    precision: Precision
    device: str
    seed: int
    checks: str | None = None
    reports: list[Report] = field(default_factory=list["Report"])
    properties: Callable[[tuple[str, object]], None] = lambda pair: None

    def keep(self, report: Report) -> None:
        """Adds a report to the session's, and its errors to the running test's properties."""
        self.reports.append(report)
        for result in report.results:
            self.properties((f"parity.{result.check}.max_relative_error", result.max_relative_error))
            self.properties((f"parity.{result.check}.tolerance", result.tolerance))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the `parity` options."""
    group = parser.getgroup("parity", "numerical parity of PyTorch and JAX models")
    precisions = ("float64", "float32", "bfloat16", "float16")
    add = group.addoption
    add("--parity-examples", type=int, metavar="N", help="examples per pair (default: the pair's own, else 25)")
    add("--parity-precision", default="float64", choices=precisions, help="floating format of both sides")
    add("--parity-device", default="cpu", choices=("cpu", "gpu"), help="where the candidates run")
    add("--parity-seed", type=int, default=0, metavar="N", help="seed of everything drawn")
    add("--parity-checks", metavar="NAMES", help="all, or names with commas between (default: each pair's own)")
    add("--parity-report", metavar="DIR", help="write JSON, HTML and a Markdown summary there")


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker and collects this session's reports."""
    config.addinivalue_line("markers", "parity: compares a PyTorch reference with a JAX candidate")
    chosen: Any = config.option
    _require_usable(chosen)
    if chosen.parity_report and not hasattr(config, "workerinput"):  # a worker of xdist writes nothing
        _require_writable(Path(chosen.parity_report))
    config.stash[_CHOICES] = Choices(
        chosen.parity_examples, chosen.parity_precision, chosen.parity_device, chosen.parity_seed, chosen.parity_checks
    )
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_Workers(config), "parity-workers")


@pytest.fixture
def parity_choices(request: pytest.FixtureRequest) -> Choices:
    """The command line's choices for pairs; collects their reports."""
    return replace(request.config.stash[_CHOICES], properties=request.node.user_properties.append)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the reports where `--parity-report` says; a worker of xdist hands its own to the controller."""
    reports = session.config.stash[_CHOICES].reports
    folder = session.config.option.parity_report
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["parity_reports"] = [  # pyright: ignore[reportAttributeAccessIssue]  # xdist adds it
            report.to_dict() for report in reports
        ]
    elif folder and reports:
        from parity._errors import UsageError
        from parity.reports import write

        try:
            write(sorted(reports, key=lambda report: report.pair), Path(folder))
        except UsageError as error:  # raised here, it would keep pytest from saying what failed
            session.config.stash[_UNWRITTEN] = f"--parity-report {error}"
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints how much was compared, and the largest error of each check."""
    reports = config.stash[_CHOICES].reports
    if not reports:
        return
    examples, agree = sum(report.examples for report in reports), sum(report.ok for report in reports)
    terminalreporter.section("parity")
    terminalreporter.line(f"{agree} of {len(reports)} comparisons agree, {examples} examples; largest relative errors:")
    found = [(result, report) for report in reports for result in report.results if result.leaves]
    for check in dict.fromkeys(result.check for result, _ in found):
        ran = [(result, report.pair) for result, report in found if result.check == check]
        worst, pair = max(ran, key=lambda one: (one[0].max_relative_error, one[1]))
        terminalreporter.line(f"  {check:<12} {worst.size}  {pair}{f', {worst.passed_as}' if worst.passed_as else ''}")
    if _UNWRITTEN in config.stash:
        terminalreporter.line(f"ERROR: {config.stash[_UNWRITTEN]}", red=True)


def _require_usable(chosen: Any) -> None:
    """Refuses what the command line asks for in vain, once and before any test.

    Raises:
      pytest.UsageError: no such check, or no example.
    """
    if chosen.parity_examples is not None and chosen.parity_examples < 1:
        raise pytest.UsageError(f"--parity-examples {chosen.parity_examples}: expected 1 or more")
    if chosen.parity_checks is not None:
        from parity._errors import UsageError
        from parity.checks import chosen_by

        try:
            chosen_by(chosen.parity_checks)
        except UsageError as error:
            raise pytest.UsageError(f"--parity-checks {chosen.parity_checks}: {error}") from error


def _require_writable(folder: Path) -> None:
    """Refuses a folder for the reports that could not be written after all tests have run.

    Raises:
      pytest.UsageError: with the path and the reason, or jinja2 is not installed.
    """
    from parity._errors import UsageError
    from parity.reports import require_writable

    try:
        require_writable(folder, "--parity-report")
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


class _Workers:
    """Collects the reports of xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_testnodedown(self, node: Any) -> None:
        """Takes over what one worker found."""
        from parity.report import Report

        found = getattr(node, "workeroutput", {}).get("parity_reports", [])
        self._config.stash[_CHOICES].reports.extend(map(Report.from_dict, found))


_CHOICES = pytest.StashKey[Choices]()
_UNWRITTEN = pytest.StashKey[str]()
