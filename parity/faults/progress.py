"""How far a run is, on a terminal alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from parity.faults.score import Outcome


@contextmanager
def watched() -> Generator[Callable[[Outcome], None]]:
    """Shows the number of faults and the last one while the context is open; says nothing where nobody watches."""
    columns = SpinnerColumn(), TextColumn("{task.completed} faults  {task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=None)

        def tell(outcome: Outcome) -> None:
            bar.update(task, advance=1, description=f"{outcome.fault} in {outcome.pair}")

        yield tell
