"""A report as text, JSON, HTML and Markdown, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parity._errors import UsageError
from parity.files import require_folder, require_html, write_text

if TYPE_CHECKING:
    from pathlib import Path

    from parity.report import Report

__all__ = ["require_writable", "write"]

NAMES = ("parity.json", "summary.md", "parity.html")


def require_writable(folder: Path, option: str) -> None:
    """Refuses, before anything is run, a folder into which `write` could not write.

    Args:
      folder: where to; it need not be there, and is not made.
      option: that names it on the command line.

    Raises:
      UsageError: with the path and the reason, or jinja2 is not installed.
    """
    require_html(option)
    require_folder(folder, option, NAMES)


def write(reports: list[Report], folder: Path) -> None:
    """Writes `parity.json`, `parity.html` and `summary.md` into a folder, which is created.

    Args:
      reports: in the order in which they are shown.
      folder: where to.

    Raises:
      UsageError: a file cannot be written.
    """
    from parity.reports.html import render_html
    from parity.reports.json import render_json
    from parity.reports.markdown import render_markdown

    texts = [render(reports) for render in (render_json, render_markdown, render_html)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror}") from error
    for name, text in zip(NAMES, texts, strict=True):
        write_text(folder / name, text)
