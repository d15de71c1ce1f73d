"""A report as text, JSON, HTML and Markdown, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from parity.report import Report

__all__ = ["write"]


def write(reports: list[Report], folder: Path) -> None:
    """Writes `parity.json`, `parity.html` and `summary.md` into a folder, which is created.

    Args:
      reports: in the order in which they are shown.
      folder: where to.
    """
    from parity.reports.html import render_html
    from parity.reports.json import render_json
    from parity.reports.markdown import render_markdown

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "parity.json").write_text(render_json(reports), encoding="utf-8")
    (folder / "summary.md").write_text(render_markdown(reports), encoding="utf-8")
    (folder / "parity.html").write_text(render_html(reports), encoding="utf-8")
