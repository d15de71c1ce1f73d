"""A bar for long inference, fed from the loops of either framework."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Progress = Callable[[int, int], None]


@contextmanager
def show_progress(total: int, description: str) -> Generator[Callable[..., None]]:
    """Shows a bar on stderr, if that is a terminal, while the block runs.

    Args:
      total: number of steps.
      description: what the steps are.

    Yields:
      A callback that advances the bar by one; it takes any arguments, so that it serves as the `progress` of
      a sequence, compiled or not.

    Example:
      >>> with show_progress(2, "steps") as advance:
      ...     advance()
      ...     advance()
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(description, total=total)
        yield lambda *_: bar.advance(task)
