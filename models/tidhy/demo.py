"""From a torch checkpoint to proven parity: train, convert, check, report. `make parity` runs this."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import parity
import weight_bridge
from models.rossler import rossler_windows
from models.tidhy import targets
from models.tidhy.training_parity import train_alike
from parity.reports import write

if TYPE_CHECKING:
    from models.tidhy.torch import TiDHy

FOLDER = Path("runs/tidhy")
BATCH, TIME, TRAINING_STEPS = 5, 12, 4
BUILD: dict[str, Callable[[], Any]] = {"nnx": targets.nnx, "linen": targets.linen}


def main() -> None:
    """Runs all of it and exits with 1 where anything differs."""
    started = time.perf_counter()
    console = Console()
    _run("models.tidhy.train", "--out", str(FOLDER))
    for framework in BUILD:
        _run("weight_bridge", "convert", *_conversion(framework))
    reports = [report for framework in BUILD for report in checked(framework)]
    console.print(_table(reports))
    for report in reports:
        if not report.ok:
            console.print(str(report), markup=False, highlight=False)
    write(reports, FOLDER)
    agree = sum(report.ok for report in reports)
    seconds = time.perf_counter() - started
    console.print(f"{agree} of {len(reports)} comparisons agree; {seconds:.0f} s; {FOLDER}/parity.html has the details")
    sys.exit(0 if agree == len(reports) else 1)


def checked(framework: str) -> Iterator[parity.Report]:
    """Compares the trained torch model with one converted model: parts, inference, sequences, training.

    Args:
      framework: `nnx` or `linen`.

    Yields:
      A report per claim, float64 on both sides.
    """
    X = rossler_windows(BATCH, TIME, features=targets.CONFIG.input_dim)
    r_p, r2 = _latents(X)
    compared: dict[str, tuple[str, tuple[np.ndarray, ...], Callable[[Any], Any] | None]] = {
        "temporal prediction": ("temporal_prediction", (r_p, r2), None),
        "first inference": ("inf_first_step", (X[:, 0],), None),
        "inference of a step": ("inf", (X[:, 1], r_p, r2), lambda found: (found.r, found.r2, found.n_iter)),
        "sequence losses": ("sequence_losses", (X,), None),
        "recorded evaluation": ("evaluate_record", (X,), None),
    }
    for claim, (method, inputs, output) in compared.items():
        reference, candidate, plan = _models(framework)
        yield parity.compare(
            reference,
            candidate,
            *inputs,
            carry=plan,
            method=method,
            output=output,
            train=True,
            name=f"{claim} [{framework}]",
        )
    reference, candidate, plan = _models(framework)
    model = candidate[0] if isinstance(candidate, tuple) else candidate
    batches = [X[:, start : start + 6] for start in range(TRAINING_STEPS)]
    result = train_alike(reference.double(), model, plan, batches)
    yield parity.Report(f"{TRAINING_STEPS} training steps [{framework}]", "cpu", "float64", (result,))


def _models(framework: str) -> tuple[TiDHy, Any, weight_bridge.Plan]:
    """The trained torch model, a JAX model to fill, and the mapping that the conversion used."""
    reference: Any = targets.torch_model()
    reference.load_state_dict(torch.load(FOLDER / "checkpoint.pt", weights_only=True))
    candidate = BUILD[framework]()
    plan = weight_bridge.plan(FOLDER / "checkpoint.safetensors", candidate, source=reference)
    return reference, candidate, plan


def _latents(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latents to start a step from, (B, R) and (B, Q): of the size that inference finds."""
    draw = np.random.default_rng(0)
    config = targets.CONFIG
    return 0.5 * draw.standard_normal((len(X), config.r_dim)), 0.5 * draw.standard_normal((len(X), config.r2_dim))


def _conversion(framework: str) -> tuple[str, ...]:
    """Arguments of `weight-bridge convert`."""
    out = str(FOLDER / f"{framework}.safetensors")
    sides = "--target", f"models.tidhy.targets:{framework}", "--source", "models.tidhy.targets:torch_model"
    return str(FOLDER / "checkpoint.safetensors"), out, *sides


def _run(module: str, *arguments: str) -> None:
    """Runs a command as a user would, showing it."""
    print(f"$ python -m {module} {' '.join(arguments)}", flush=True)
    subprocess.run([sys.executable, "-m", module, *arguments], check=True)


def _table(reports: list[parity.Report]) -> Table:
    """Claims × checks with the measured relative errors."""
    checks = list(dict.fromkeys(result.check for report in reports for result in report.results if result.leaves))
    table = Table(title="largest relative error, torch against JAX, float64 on both sides", box=None)
    for column in ("", "claim", *checks):
        table.add_column(column, justify="right" if column in checks else "left", no_wrap=True)
    for report in reports:
        found = {result.check: result for result in report.results if result.leaves}
        cells = [f"{found[check].max_relative_error:.1e}" if check in found else "–" for check in checks]
        table.add_row("ok" if report.ok else "FAIL", report.pair.replace("[", r"\["), *cells)
    return table


if __name__ == "__main__":
    main()
