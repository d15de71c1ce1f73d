"""Checkpoints of every kind, opened lazily; each refusal is read whole."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from weight_bridge import CheckpointError, UsageError, inspect
from weight_bridge.checkpoint import open_checkpoint

STATE = {"a.weight": torch.randn(5, 3), "a.bias": torch.randn(5).bfloat16(), "n": torch.tensor(7)}


def shards(folder: Path, weight_map: dict[str, str], files: dict[str, list[str]]) -> Path:
    for file, names in files.items():
        save_file({name: STATE[name] for name in names}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


def test_all_kinds_read_the_same(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "m.safetensors")
    torch.save(STATE, tmp_path / "m.pt")
    torch.save(STATE, tmp_path / "m.bin", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "model": {"net": STATE}}, tmp_path / "trainer.pth")
    (tmp_path / "sharded").mkdir()
    weight_map = {"a.weight": "x.safetensors", "a.bias": "y.safetensors", "n": "y.safetensors"}
    shards(tmp_path / "sharded", weight_map, {"x.safetensors": ["a.weight"], "y.safetensors": ["a.bias", "n"]})
    kinds: list[tuple[Any, str | None]] = [
        (tmp_path / "m.safetensors", None),
        (tmp_path, None),
        (tmp_path / "m.pt", None),
        (str(tmp_path / "m.bin"), None),
        (tmp_path / "trainer.pth", "model.net"),
        (tmp_path / "sharded", None),
        (tmp_path / "sharded" / "model.safetensors.index.json", None),
        (dict(STATE), None),
    ]
    wanted = {name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in STATE.items()}
    for what, key in kinds:
        opened = open_checkpoint(what, key=key)
        found = {name: (t.spec.shape, f"torch.{t.spec.dtype}") for name, t in opened.tensors.items()}
        assert found == wanted, what
        assert opened.tensors["a.bias"].read().dtype == ml_dtypes.bfloat16
        bits = STATE["a.bias"].view(torch.int16).numpy().tobytes()
        assert opened.tensors["a.bias"].read().tobytes() == bits
        assert np.array_equal(opened.tensors["a.weight"].read(), STATE["a.weight"].numpy())


def test_tied_tensors_are_found_in_pickles_and_live_state(tmp_path: Path) -> None:
    shared = torch.randn(3, 5)
    state = {"a": shared, "b": shared, "view": shared[1:], "other": torch.randn(3, 5)}
    torch.save(state, tmp_path / "m.pt")
    for what in (state, tmp_path / "m.pt"):
        assert open_checkpoint(what).ties() == (("a", "b"),)
    assert inspect(state)[1]["shares_storage_with"] == "a"


def test_a_module_brings_its_layer_types() -> None:
    opened = open_checkpoint(torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.BatchNorm1d(5)))
    assert opened.layers["0"].kind == "torch.Linear"
    assert opened.layers["1"].options["eps"] == 1e-5
    assert list(opened.tensors)[:2] == ["0.weight", "0.bias"]


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch evil-was-here",)


@pytest.mark.parametrize("protocol", ["zip", "legacy", "plain"])
def test_a_pickle_that_would_run_code_is_refused(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.pt"
    if protocol == "plain":
        path.write_bytes(pickle.dumps({"a": Evil()}))
    else:
        torch.save({"a": Evil()}, path, _use_new_zipfile_serialization=protocol == "zip")
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(path)
    if protocol == "plain":  # a newer pickle protocol, of which torch reads no instruction that names a function
        why = "not a pickle of tensors: Unsupported operand 149"
    else:
        why = f"reading it would run code: it refers to {os.system.__module__}.system"
    assert str(refused.value) == f"{path}: refused, {why}; only plain tensors are unpickled"
    assert [found.name for found in tmp_path.iterdir()] == ["m.pt"]


def test_truncated_pickles_are_refused(tmp_path: Path) -> None:
    for number, zipped in enumerate((True, False)):
        path = tmp_path / f"m{number}.pt"
        torch.save(STATE, path, _use_new_zipfile_serialization=zipped)
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(CheckpointError, match=f"^{path}: truncated or not a torch checkpoint: "):
            open_checkpoint(path)


def test_a_trainer_checkpoint_names_where_its_state_dict_is(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "model": {"net": STATE}}, tmp_path / "t.pt")
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(tmp_path / "t.pt")
    assert str(refused.value).splitlines() == [
        f"{tmp_path / 't.pt'}: not a state dict; --key model.net picks the state dict inside",
        "  - epoch: int, expected a tensor",
        "  - model: dict, expected a tensor",
    ]
    with pytest.raises(UsageError) as wrong:
        open_checkpoint(tmp_path / "t.pt", key="model.nothing")
    assert str(wrong.value) == f"{tmp_path / 't.pt'}: --key model.nothing: no mapping at 'nothing'; mappings there: net"


def test_index_and_shards_that_disagree_are_refused(tmp_path: Path) -> None:
    weight_map = {"a.weight": "x.safetensors", "gone": "x.safetensors", "n": "z.safetensors"}
    index = shards(tmp_path, weight_map, {"x.safetensors": ["a.weight", "a.bias"]})
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(index)
    assert str(refused.value).splitlines() == [
        f"{index}: index and shards disagree",
        "  - shard z.safetensors is missing",
        "  - gone: the index places it in x.safetensors, which does not hold it",
        "  - a.bias: x.safetensors holds it, the index does not",
    ]


@pytest.mark.parametrize(
    "shard", ["../x.safetensors", "/etc/x.safetensors", "a/x.safetensors", "..\\x", "C:x", "", ".."]
)
def test_shards_outside_the_folder_are_refused(shard: str, tmp_path: Path) -> None:
    index = shards(tmp_path, {"a.weight": shard}, {})
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(index)
    assert str(refused.value).splitlines() == [
        f"{index}: shards must lie beside the index",
        f"  - shard {shard!r} is not a plain file name",
    ]


def test_unusable_places_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no such file or folder"):
        open_checkpoint(tmp_path / "nothing.pt")
    with pytest.raises(UsageError, match="not a kind of checkpoint that is read"):
        open_checkpoint(tmp_path / "m.txt")
    with pytest.raises(CheckpointError, match=r"holds no \.safetensors file"):
        open_checkpoint(tmp_path / "empty")
    for name in ("b", "a"):
        save_file(STATE, tmp_path / "empty" / f"{name}.safetensors")
    with pytest.raises(CheckpointError, match=r"holds 2 checkpoints \(a.safetensors, b.safetensors\)"):
        open_checkpoint(tmp_path / "empty")
    with pytest.raises(UsageError, match="got int"):
        open_checkpoint(3)


def test_values_that_are_no_dense_arrays_are_refused() -> None:
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint({"a": torch.eye(3).to_sparse(), "b": "text", "c": np.array(["x"]), "d": np.zeros(3)})
    assert str(refused.value).splitlines() == [
        "not a state dict",
        "  - a: torch.sparse_coo, expected a dense tensor",
        "  - b: str, expected a tensor",
        "  - c: dtype str32 is not known",
    ]
