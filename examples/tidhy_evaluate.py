"""Evaluates a trained torch TiDHy in JAX: convert the checkpoint, run the compiled recording, watch it advance.

usage: python -m models.tidhy.train --out runs/tidhy
       python -m examples.tidhy_evaluate runs/tidhy/checkpoint.safetensors
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import typer
from flax import nnx

import weight_bridge
from models.rossler import rossler_windows
from models.tidhy import targets
from models.tidhy.progress import show_progress


def main(
    checkpoint: Annotated[Path, typer.Argument(help="What models.tidhy.train has saved.")],
    batch: Annotated[int, typer.Option(min=1, help="Sequences to evaluate.")] = 64,
    length: Annotated[int, typer.Option(min=2, help="Time steps of each.")] = 200,
) -> None:
    """Evaluate a trained TiDHy on the Rössler system, compiled, with a bar fed from inside the compiled loop."""
    model: Any = weight_bridge.load(targets.nnx(), checkpoint)
    X = rossler_windows(batch, length, features=targets.CONFIG.input_dim).astype(np.float32)
    start = time.perf_counter()
    with show_progress(length - 1, "time steps") as advance:
        evaluate = nnx.jit(lambda model, X: model.evaluate_record(X, progress=advance))
        rhat, rbar, temporal, records = jax.block_until_ready(evaluate(model, X))
        jax.effects_barrier()
    seconds = time.perf_counter() - start
    r, n_iter = np.asarray(records["R_hat"]), np.asarray(records["n_iter"])
    print(f"{batch} sequences of {length} time steps in {seconds:.1f} s, compilation included")
    print(
        f"reconstruction {rhat / length:.3f}, prediction {rbar / length:.3f}, temporal {temporal / length:.3f} a step"
    )
    print(f"updates a time step: {n_iter.min()} to {n_iter.max()}; r between {r.min():.2f} and {r.max():.2f}")


if __name__ == "__main__":
    typer.run(main)
