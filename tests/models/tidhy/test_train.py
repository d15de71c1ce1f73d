"""The trained checkpoint reaches both JAX versions by inference alone, as the hand-written paths say it should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flax import nnx, traverse_util
from safetensors.numpy import load_file

import weight_bridge
from models.tidhy import targets
from models.tidhy.train import save, train
from tests.models.tidhy.weights import carried, linen_path, nnx_path


def test_checkpoints_hold_the_trained_weights_and_convert_without_rules(tmp_path: Path) -> None:
    seen: list[None] = []
    model, losses = train(targets.CONFIG, 2, progress=lambda: seen.append(None))
    assert len(losses) == len(seen) == 2
    save(model, tmp_path / "runs")
    state = load_file(tmp_path / "runs" / "checkpoint.safetensors")
    pickled = torch.load(tmp_path / "runs" / "checkpoint.pt", weights_only=True)
    assert state.keys() == pickled.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(state[name], value)
        np.testing.assert_array_equal(pickled[name], value)

    variables: Any = weight_bridge.convert(tmp_path / "runs" / "checkpoint.safetensors", targets.linen())
    leaves: Any = traverse_util.flatten_dict(variables, sep="/")
    assert leaves.keys() == {linen_path(name, value.ndim) for name, value in state.items()}
    for name, value in state.items():
        np.testing.assert_array_equal(leaves[linen_path(name, value.ndim)], carried(name, value))

    candidate = weight_bridge.load(targets.nnx(), tmp_path / "runs" / "checkpoint.pt")
    leaves = {"/".join(map(str, path)): leaf[...] for path, leaf in nnx.to_flat_state(nnx.state(candidate))}
    assert leaves.keys() == {nnx_path(name, value.ndim) for name, value in state.items()}
    for name, value in state.items():
        np.testing.assert_array_equal(leaves[nnx_path(name, value.ndim)], carried(name, value))


def test_training_lowers_the_loss_and_repeats_itself() -> None:
    first, losses = train(targets.CONFIG, 2)
    second, again = train(targets.CONFIG, 2)
    assert losses == again
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    _, later = train(targets.CONFIG, 8)
    assert np.mean(later[-2:]) < np.mean(later[:2])


def test_no_updates() -> None:
    with pytest.raises(ValueError, match="expected at least 1 update, got 0"):
        train(targets.CONFIG, 0)
