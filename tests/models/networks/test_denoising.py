"""The denoising example: what it makes, trains, converts by the command line, runs in JAX and draws, on few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from examples import networks_denoise as example


@pytest.mark.parametrize("name", ["unet", "vit"])
def test_a_trained_checkpoint_is_converted_and_runs_alike_in_jax(name: str, tmp_path: Path) -> None:
    noisy, level, _ = example.images(3, seed=1)
    inputs = (noisy, level) if name == "unet" else (noisy,)
    model = example.trained(name, 1)
    out = example.converted(name, model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.safetensors", f"{name}_nnx.safetensors"]
    reference, candidate = example.outputs(name, model, out, inputs)
    assert reference.shape == candidate.shape == (3, 1, 16, 16)
    assert reference.dtype == candidate.dtype == np.float32
    assert reference.std() > 1e-3  # not a constant that anything would match
    assert np.abs(reference - candidate).max() < 64 * np.finfo(np.float32).eps * np.abs(reference).max()
    picture = example.drawn(noisy, reference, candidate, tmp_path / "pictures" / "picture.png")
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_images_are_noisy_copies_of_shapes_and_repeat_themselves() -> None:
    noisy, level, clean = example.images(50, seed=3)
    assert noisy.shape == clean.shape == (50, 1, 16, 16)
    assert level.shape == (50, 1)
    measured = (noisy - clean).std(axis=(1, 2, 3))
    np.testing.assert_allclose(measured, level[:, 0], rtol=0.2)  # of 256 pixels, 4.5 standard deviations
    assert all(len(np.unique(image)) == 2 for image in clean)
    assert np.array_equal(noisy, example.images(50, seed=3)[0])


def test_training_starts_from_one_seed() -> None:
    first, second = (example.trained("unet", 1).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
