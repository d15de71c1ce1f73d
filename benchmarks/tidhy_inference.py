"""Time of TiDHy's training pass, torch's loop against JAX's compiled one, on the same work in one run.

usage: python -m benchmarks.tidhy_inference [--batch 64] [--times 50,100,200] [--repeats 2]

Both sides get the same weights and the same Rössler windows, in float32 and on one core; the numbers of updates of
each time step must agree. Microseconds are those of one update. JAX's first call, which compiles, is shown apart.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import jax
import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

import weight_bridge
from models.rossler import rossler_windows
from models.tidhy import linen
from models.tidhy import torch as reference
from models.tidhy.config import TiDHyConfig

if TYPE_CHECKING:
    from collections.abc import Callable


class Row(NamedTuple):
    """Outcome for one length: updates made by both sides, how many time steps disagree on them, and seconds."""

    length: int
    updates: tuple[int, int]
    disagreeing: int
    torch: float
    jax: float
    compiling: float

    def shown(self) -> tuple[str, ...]:
        """The row as text."""
        ratio = f"{self.torch / self.jax:.1f} : 1"
        each = (f"{1e6 * seconds / self.updates[0]:.0f}" for seconds in (self.torch, self.jax))
        times = (f"{self.torch:.2f}", f"{self.jax:.3f}")
        return str(self.length), str(self.updates[0]), *times, ratio, *each, f"{self.compiling:.1f}"


def measure(batch: int, length: int, repeats: int) -> Row:
    """Runs both sides on one batch of sequences."""
    config = TiDHyConfig()
    X = rossler_windows(batch, length, features=config.input_dim).astype(np.float32)
    torch.manual_seed(0)
    model = reference.TiDHy(config)
    candidate = linen.TiDHy(config)
    variables: Any = weight_bridge.convert(model.state_dict(), (candidate, (X[:, :2],)))
    run = jax.jit(partial(candidate.apply, method="sequence_losses"))
    compiling, _ = _timed(lambda: jax.block_until_ready(run(variables, X)), 1)
    jax_time, jax_losses = _timed(lambda: jax.block_until_ready(run(variables, X)), max(3, repeats))
    torch_time, torch_losses = _timed(lambda: model.sequence_losses(torch.from_numpy(X)), repeats)
    counts = torch_losses.n_iter.numpy(), np.asarray(jax_losses.n_iter)
    disagreeing = int(np.count_nonzero(counts[0] != counts[1]))
    return Row(length, (int(counts[0].sum()), int(counts[1].sum())), disagreeing, torch_time, jax_time, compiling)


def _use_one_core() -> None:
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _timed(run: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Least time of some runs, in seconds, and the result."""
    times, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return min(times), result


def main(
    batch: Annotated[int, typer.Option(min=1, help="Sequences in the batch.")] = 64,
    times: Annotated[str, typer.Option(help="Lengths, separated by commas.")] = "50,100,200",
    repeats: Annotated[int, typer.Option(min=1, help="Runs of the torch side; the least time counts.")] = 2,
) -> None:
    """Time TiDHy's training pass, torch against compiled JAX, for growing sequences."""
    _use_one_core()
    table = Table(title=f"TiDHy, default configuration, batch {batch}, float32, {jax.devices()[0].platform}")
    for column in ("T", "updates", "torch s", "JAX s", "torch : JAX", "torch µs", "JAX µs", "compile s"):
        table.add_column(column, justify="right")
    console = Console()
    rows = []
    for length in map(int, times.split(",")):
        with console.status(f"T = {length}"):
            row = measure(batch, length, repeats)
        rows.append(row)
        table.add_row(*row.shown())
    console.print(table)
    if any(row.disagreeing for row in rows):
        for row in rows:
            console.print(
                f"T = {row.length}: {row.disagreeing} time steps with other numbers of updates, {row.updates}"
            )
        raise SystemExit("not the same work: the times above compare different numbers of updates")


if __name__ == "__main__":
    typer.run(main)
