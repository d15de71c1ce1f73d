"""The code of `docs/parity.md` runs as it stands and reports what it says; its table has every check."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import parity
from parity.checks import CHECKS

GUIDE = (Path(__file__).parents[2] / "docs" / "parity.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
REPORTS = re.findall(r"^```text\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def shown(code: str) -> str:
    names: dict[str, Any] = {}
    exec(compile(code, "docs/parity.md", "exec"), names)
    return f"{parity.check(names['BLOCK'])}\n"


def rounded(report: str) -> str:
    """A report with its measured numbers left out, but for those of settings."""
    return re.sub(
        r"(error|:|reference) -?\d\.?[\d.e-]*", r"\1 #", re.sub(r"at \w+(\.\w+)?\[.*?\] \(", "at # (", report)
    )


@pytest.mark.parametrize(
    ("change", "report"),
    [(("", ""), REPORTS[0]), (("LayerNorm(7, rngs", "LayerNorm(7, epsilon=1e-5, rngs"), REPORTS[1])],
    ids=["as it stands", "mended"],
)
def test_the_pair_reports_what_the_guide_shows(change: tuple[str, str], report: str) -> None:
    assert rounded(shown("\n".join(SNIPPETS).replace(*change))) == rounded(report)


def test_the_claim_takes_ten_lines() -> None:
    assert len(SNIPPETS) == 2
    claim = SNIPPETS[1].partition("BLOCK = ")[2].splitlines()
    assert len(claim) <= 10


def test_every_check_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| .* \| .* \|$", GUIDE, re.MULTILINE)
    assert sorted(rows) == sorted(check.name for check in CHECKS)
