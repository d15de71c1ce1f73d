"""What a plan says of many layers, of names that both sides have, and of casts of several results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import weight_bridge
from weight_bridge import pairing
from weight_bridge.checkpoint import open_checkpoint
from weight_bridge.conversion import convert_file
from weight_bridge.joint import Split
from weight_bridge.mapping import Mapping, Rule
from weight_bridge.transforms import IDENTITY
from weight_bridge.tree import nest

LAYERS = 40


def test_layers_of_one_shape_are_not_compared_with_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"model.layers.{i}.{part}_proj.weight" for i in range(LAYERS) for part in ("q", "k", "v", "o", "up")]
    state = {name: np.zeros((7, 7), np.float32) for name in names}
    paths = [f"model/layers_{i}/{part}_proj/kernel" for i in range(LAYERS) for part in ("q", "k", "v", "o", "up")]
    target = nest(dict.fromkeys(paths, np.zeros((7, 7), np.float32)))
    compared: list[None] = []
    cost = pairing._number_cost
    monkeypatch.setattr(pairing, "_number_cost", lambda *of: compared.append(None) or cost(*of))
    decided = weight_bridge.plan(state, target)
    assert {(*step.sources, *step.targets) for step in decided.steps} == {*zip(names, paths, strict=True)}
    assert len(compared) < 30 * len(names)  # each with every other would be 200 times


def test_a_name_that_both_sides_have_is_explained_for_one_of_them() -> None:
    state = {"scale": np.zeros(3, np.float32)}
    target = {"other": np.zeros(5, np.float32), "scale": np.zeros(7, np.float32)}
    with pytest.raises(weight_bridge.PlanError) as caught:
        weight_bridge.plan(state, target, mapping=Mapping((Rule(("scale",), ("other",), IDENTITY),)))
    assert caught.value.problems == (
        "other: expected shape [5], got [3] from scale",
        (
            "scale float32[7]: no tensor fills it; no unused tensor has these extents; "
            "--allow-missing 'scale' leaves it empty"
        ),
    )


def test_every_result_of_a_step_is_cast(tmp_path: Path) -> None:
    state = {"qkv": np.linspace(-1e6, 1e6, 36, dtype=np.float32).reshape(6, 6)}
    target = {name: np.zeros((2, 6), np.float32) for name in "qkv"}
    mapping = Mapping((Rule(("qkv",), ("q", "k", "v"), Split(0, (2, 2, 2))),))
    decided = weight_bridge.plan(state, target, mapping=mapping, dtype="float16")
    assert str(decided.steps[0].transform).startswith("split(axis=0, sizes=(2, 2, 2)) | each(cast(")
    receipt = convert_file(decided, open_checkpoint(state), tmp_path / "x.safetensors")
    written = open_checkpoint(tmp_path / "x.safetensors").tensors
    with np.errstate(over="ignore"):
        wanted = state["qkv"].astype(np.float16)
    assert {written[name].spec.dtype for name in "qkv"} == {"float16"}
    assert np.array_equal(np.concatenate([written[name].read() for name in "qkv"]), wanted)
    assert [loss.path for loss in receipt.losses] == ["q", "k", "v"]
