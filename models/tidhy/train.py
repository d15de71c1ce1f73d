"""Trains the torch TiDHy on the Rössler system for a short while and saves its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
import typer
from safetensors.torch import save_file

from models.rossler import rossler_windows
from models.tidhy.progress import show_progress
from models.tidhy.targets import CONFIG
from models.tidhy.torch import TiDHy
from models.tidhy.training_config import TrainingConfig
from models.tidhy.training_torch import optimiser, training_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.tidhy.config import TiDHyConfig

BATCH, TIME = 16, 12


def train(
    config: TiDHyConfig,
    steps: int,
    *,
    training: TrainingConfig | None = None,
    seed: int = 0,
    progress: Callable[..., None] | None = None,
) -> tuple[TiDHy, list[float]]:
    """Trains a torch TiDHy on windows of the Rössler system, in float32.

    Args:
      config: the configuration; its `input_dim` is the number of observed features.
      steps: parameter updates.
      training: the options of training; None for the defaults.
      seed: of the initial weights and of the order of the windows.
      progress: called after each update.

    Returns:
      The model, and the loss before each update.

    Raises:
      ValueError: for fewer than one update.

    Example:
      >>> _, losses = train(CONFIG, 1)
      >>> len(losses)
      1
    """
    if steps < 1:
        raise ValueError(f"train: expected at least 1 update, got {steps}")
    windows = torch.from_numpy(rossler_windows(16 * BATCH, TIME, features=config.input_dim)).to(torch.float32)
    draws = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TiDHy(config)
    training = training or TrainingConfig()
    updates = optimiser(model, training)
    losses: list[float] = []
    for _ in range(steps):
        batch = windows[draws.choice(len(windows), BATCH, replace=False)]
        losses.append(float(training_step(model, updates, batch, training)))
        if progress is not None:
            progress()
    return model, losses


def save(model: TiDHy, folder: Path) -> None:
    """Writes the weights as `checkpoint.safetensors` and `checkpoint.pt`."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "checkpoint.safetensors")
    torch.save(state, folder / "checkpoint.pt")


def main(
    out: Annotated[Path, typer.Option(help="Folder for the checkpoints.")] = Path("runs/tidhy"),
    steps: Annotated[int, typer.Option(min=1, help="Parameter updates.")] = 25,
    seed: Annotated[int, typer.Option(help="Of weights and batches.")] = 0,
    grad_norm: Annotated[bool, typer.Option(help="Balance the losses by the norms of their gradients.")] = False,
) -> None:
    """Train the torch TiDHy on the Rössler system and save checkpoint.safetensors and checkpoint.pt."""
    torch.set_num_threads(1)  # on arrays this small, threads wait for each other
    with show_progress(steps, "training TiDHy on the Rössler system") as advance:
        model, losses = train(CONFIG, steps, training=TrainingConfig(grad_norm=grad_norm), seed=seed, progress=advance)
    save(model, out)
    count = sum(value.numel() for value in model.parameters())
    print(f"TiDHy, {count} parameters, {steps} updates: loss {losses[0]:.2f} → {losses[-1]:.2f}; saved in {out}")


if __name__ == "__main__":
    typer.run(main)
