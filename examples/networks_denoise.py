"""Trains a torch U-Net and a torch ViT to denoise, converts both by the command line, and runs them in JAX.

usage: python -m examples.networks_denoise
       python -m examples.networks_denoise --steps 300 --pictures docs/images
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import typer
from flax import nnx
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

import weight_bridge
from models.networks import denoising

NOISE = 0.4
RATES = {"unet": 2e-3, "vit": 1e-3}
SHOWN = 4
LEARNED = 16
"""Images that the ViT learns to tell apart and to draw; the U-Net never sees an image twice."""

Images = tuple[np.ndarray, np.ndarray, np.ndarray]


def main(
    folder: Annotated[Path, typer.Option(help="Where checkpoints go.")] = Path("runs/networks"),
    pictures: Annotated[
        Path | None, typer.Option(help="Where pictures go; the checkpoints' folder by default.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps; the ViT takes three times as many.")] = 300,
) -> None:
    """Train, convert, verify and run both networks, and draw what each of them makes of four images."""
    for name in ("unet", "vit"):
        noisy, level, _ = (array[:SHOWN] for array in batch(name, 0))
        inputs = (noisy, level) if name == "unet" else (noisy,)
        model = trained(name, steps)
        checkpoint = converted(name, model, folder)
        reference, candidate = outputs(name, model, checkpoint, inputs)
        picture = drawn(noisy, reference, candidate, (pictures or folder) / f"networks_{name}.png")
        print(f"{name}: largest difference {np.abs(reference - candidate).max():.1e}; {picture}")


def batch(name: str, number: int) -> Images:
    """Make the images of one training step, from number 1 on; number 0 is for looking at, and never trained on.

    The U-Net gets new images each time, and the ViT the same ones under new noise.
    """
    if name == "vit":
        return images(LEARNED, seed=99, noise=99 + number)
    return images(32 if number else SHOWN, seed=99 + number)


def images(count: int, seed: int, *, noise: int | None = None) -> Images:
    """Make discs and rectangles of one brightness each.

    Args:
        count: Number of images, B.
        seed: Of the shapes.
        noise: Seed of the noise; drawn after the shapes if there is none.

    Returns:
        Noisy images (B, 1, 16, 16), the noise level of each (B, 1), and the images without noise; float32.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:16, :16]
    y, x = rng.uniform(4, 12, (2, count, 1, 1))
    size, other = rng.uniform(2, 5, (2, count, 1, 1))
    disc = (rows - y) ** 2 + (columns - x) ** 2 < size**2
    rectangle = (abs(rows - y) < size) & (abs(columns - x) < other)
    shape = np.where(rng.random((count, 1, 1)) < 0.5, disc, rectangle)
    clean = (shape * rng.uniform(0.6, 1, (count, 1, 1)))[:, None]
    rng = rng if noise is None else np.random.default_rng(noise)
    level = rng.uniform(0.25, 1, (count, 1)) * NOISE
    noisy = clean + level[..., None, None] * rng.standard_normal(clean.shape)
    return noisy.astype(np.float32), level.astype(np.float32), clean.astype(np.float32)


def trained(name: str, steps: int) -> torch.nn.Module:
    """Train the torch network of that name, in float32."""
    torch.manual_seed(0)
    model = getattr(denoising, f"{name}_torch")()
    if name == "vit":
        steps *= 3
        nn.init.normal_(model[1].decoder.queries)  # patches differ by these alone, and 0.02 is little to begin with
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATES[name])
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 1.0 if name == "unet" else warm_cosine(step, steps)
    )
    for step in range(1, steps + 1):
        noisy, level, clean = map(torch.from_numpy, batch(name, step))
        found = model(noisy, level) if name == "unet" else model(noisy)
        optimizer.zero_grad()
        F.mse_loss(found, clean).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def warm_cosine(step: int, steps: int) -> float:
    """Share of the learning rate at a step: up over the first tenth, then half a cosine."""
    return min(1.0, 10 * (step + 1) / steps) * (1 + math.cos(math.pi * step / steps)) / 2


def converted(name: str, model: torch.nn.Module, folder: Path) -> Path:
    """Save the checkpoint, convert it and verify the conversion, each as a user would; return the converted file."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, out = folder / f"{name}.safetensors", folder / f"{name}_nnx.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, checkpoint)
    module = "models.networks.denoising"
    sides = "--target", f"{module}:{name}_nnx", "--source", f"{module}:{name}_torch"
    for command in ("convert", "verify"):
        words = ["weight_bridge", command, str(checkpoint), str(out), *sides]
        print(f"$ python -m {' '.join(words)}", flush=True)
        subprocess.run([sys.executable, "-m", *words], check=True)
    return out


def outputs(
    name: str, model: torch.nn.Module, checkpoint: Path, inputs: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Run the torch network, and in JAX the converted file."""
    with torch.no_grad():
        reference = model(*map(torch.from_numpy, inputs)).numpy()
    target: Callable[[], Any] = getattr(denoising, f"{name}_nnx")
    candidate = weight_bridge.load(target(), checkpoint)
    candidate.eval()
    run = nnx.jit(lambda module, *arrays: module(*arrays))
    return reference, np.asarray(jax.block_until_ready(run(candidate, *map(jnp.asarray, inputs))))


def drawn(noisy: np.ndarray, reference: np.ndarray, candidate: np.ndarray, path: Path) -> Path:
    """Draw one row per image: input, torch, JAX, and the difference of the two times a million."""
    from matplotlib.figure import Figure

    path.parent.mkdir(parents=True, exist_ok=True)
    difference = 1e6 * np.abs(reference - candidate)
    columns = {"input": noisy, "torch": reference, "JAX": candidate, "|torch − JAX| × 10⁶": difference}
    figure = Figure(figsize=(6.4, 1.5 * len(noisy)), layout="constrained")
    axes = figure.subplots(len(noisy), len(columns), squeeze=False)
    for column, (title, shown) in enumerate(columns.items()):
        last = column == len(columns) - 1
        limits = {"vmin": 0, "vmax": difference.max() if last else 1, "cmap": "magma" if last else "gray"}
        drawings = [axes[row, column].imshow(image[0], **limits) for row, image in enumerate(shown)]
        for ax in axes[:, column]:
            ax.set_axis_off()
        axes[0, column].set_title(title, fontsize=9)
        if last:
            figure.colorbar(drawings[-1], ax=axes[:, column], shrink=0.6)
    figure.savefig(path, dpi=90)
    return path


if __name__ == "__main__":
    typer.run(main)
