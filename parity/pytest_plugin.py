"""pytest's side: options, the `parity` marker, and reports written at the end of a session."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

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
      reports: what has been found in this session.
    """

    examples: int | None
    precision: Precision
    device: str
    seed: int
    reports: list[Report] = field(default_factory=list["Report"])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the `parity` options."""
    group = parser.getgroup("parity", "numerical parity of PyTorch and JAX models")
    group.addoption(
        "--parity-examples",
        type=int,
        default=None,
        metavar="N",
        help="examples per pair (default: the pair's own)",
    )
    group.addoption(
        "--parity-precision",
        default="float64",
        choices=("float64", "float32", "bfloat16", "float16"),
        help="floating format of both sides",
    )
    group.addoption("--parity-device", default="cpu", choices=("cpu", "gpu"), help="where the candidates run")
    group.addoption("--parity-seed", type=int, default=0, metavar="N", help="seed of everything drawn")
    group.addoption(
        "--parity-report", default=None, metavar="DIR", help="write JSON, HTML and a Markdown summary there"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker and collects this session's reports."""
    config.addinivalue_line("markers", "parity: compares a PyTorch reference with a JAX candidate")
    config.stash[_CHOICES] = Choices(
        examples=config.getoption("--parity-examples"),
        precision=config.getoption("--parity-precision"),
        device=config.getoption("--parity-device"),
        seed=config.getoption("--parity-seed"),
    )


@pytest.fixture
def parity_choices(request: pytest.FixtureRequest) -> Choices:
    """The command line's choices for pairs; collects their reports."""
    return request.config.stash[_CHOICES]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the reports where `--parity-report` says."""
    folder = session.config.getoption("--parity-report")
    reports = session.config.stash[_CHOICES].reports
    if folder and reports:
        from parity.reports import write

        write(reports, Path(folder))


_CHOICES = pytest.StashKey[Choices]()
