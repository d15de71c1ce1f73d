"""Files: streamed, atomic, proved; whatever goes wrong, the output folder ends as it was."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import weight_bridge
from tests.weight_bridge.ported import TorchPort, nnx_port
from weight_bridge.checkpoint import Checkpoint, SourceTensor, open_checkpoint
from weight_bridge.conversion import convert_file
from weight_bridge.plan import Plan
from weight_bridge.reversion import revert_file
from weight_bridge.spec import Array, spec_of
from weight_bridge.tree import nest
from weight_bridge.verify import verify
from weight_bridge.writers.safetensors_file import SafetensorsSink
from weight_bridge.writers.staging import staged

TARGET = {"a": {"kernel": np.zeros((3, 5)), "bias": np.zeros(5)}}
STATE = {
    "a.weight": np.arange(15, dtype=np.float32).reshape(5, 3),
    "a.bias": np.array([0.5, -0.0, 1e6, 1e-9, 3], np.float32),
}


def opened(state: dict[str, Any] = STATE, **options: Any) -> tuple[Plan, Checkpoint]:
    checkpoint = open_checkpoint(state)
    return weight_bridge.plan(checkpoint, TARGET, **options), checkpoint


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("file_format", ["safetensors", "msgpack", "orbax"])
def test_every_format_is_proved_and_opens_again(file_format: str, tmp_path: Path) -> None:
    decided, checkpoint = opened()
    receipt = convert_file(decided, checkpoint, tmp_path / "out", file_format=file_format)
    assert receipt.leaves == receipt.proof.inverted == 2
    found = open_checkpoint(tmp_path / "out")
    assert np.array_equal(found.tensors["a/kernel"].read(), STATE["a.weight"].T)
    assert verify(decided, checkpoint, found) == receipt.proof
    assert not [path for path in tmp_path.iterdir() if path.name != "out"]


def test_the_converted_safetensors_holds_each_leaf_under_its_path(tmp_path: Path) -> None:
    convert_file(*opened(), tmp_path / "x.safetensors")
    again = load_file(tmp_path / "x.safetensors")
    assert {path: array.shape for path, array in again.items()} == {"a/bias": (5,), "a/kernel": (3, 5)}


def test_casts_are_reported(tmp_path: Path) -> None:
    receipt = convert_file(*opened(dtype="float16"), tmp_path / "x.safetensors")
    assert [str(loss) for loss in receipt.losses] == [
        "a/bias: float32 to float16: 1 overflowed and 1 underflowed to zero, of 5 elements"
    ]
    assert (receipt.proof.inverted, receipt.proof.recomputed) == (0, 2)
    assert load_file(tmp_path / "x.safetensors")["a/kernel"].dtype == np.float16


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.float64, np.int8, np.complex64])
def test_dtypes_pass_without_a_lossy_hop(dtype: Any, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 100, 15 * np.dtype(dtype).itemsize, np.uint8).view(dtype)
    state = {"p": array.reshape(3, 5)}
    decided = weight_bridge.plan(state, {"p": array.reshape(3, 5)})
    convert_file(decided, open_checkpoint(state), tmp_path / "x.safetensors", allow_nan=True)
    assert open_checkpoint(tmp_path / "x.safetensors").tensors["p"].read().tobytes() == array.tobytes()


def test_nan_is_refused_whole_unless_allowed(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("kept")
    state = {name: array.copy() for name, array in STATE.items()}
    state["a.weight"][1, 2] = state["a.weight"][4, 0] = np.nan
    state["a.bias"][0] = np.nan
    decided, checkpoint = opened(state)
    before = listing(tmp_path)
    with pytest.raises(weight_bridge.ConversionError) as refused:
        convert_file(decided, checkpoint, tmp_path / "new" / "x.safetensors")
    assert str(refused.value).splitlines() == [
        "the state dict cannot be converted; nothing was written",
        "  - a.bias: 1 of 5 elements are NaN, the first at [0]; --allow-nan lets them pass",
        "  - a.weight: 2 of 15 elements are NaN, the first at [1, 2]; --allow-nan lets them pass",
    ]
    assert listing(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
    assert convert_file(decided, checkpoint, tmp_path / "x.safetensors", allow_nan=True).leaves == 2


def _flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _rewrite(change: Callable[[dict[str, Array]], object]) -> Callable[[Path], None]:
    def tamper(path: Path) -> None:
        arrays = load_file(path)
        change(arrays)
        save_file(arrays, path)

    return tamper


TAMPERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "one bit": (_flip_bit, "a.weight: 1 of 15 elements differ; [4, 2] is 14.0 there and 3.5 here"),
    "minus zero": (
        _rewrite(lambda arrays: arrays.update({"a/bias": np.abs(arrays["a/bias"])})),
        "a.bias: 1 of 5 elements differ; [1] is -0.0 there and 0.0 here",
    ),
    "missing": (_rewrite(lambda arrays: arrays.pop("a/bias")), "a/bias: missing"),
    "strange": (_rewrite(lambda arrays: arrays.update({"b": np.zeros(3)})), "b: not in the plan"),
    "shape": (
        _rewrite(lambda arrays: arrays.update({"a/kernel": arrays["a/kernel"].T.copy()})),
        "a/kernel: planned float32[3, 5], found float32[5, 3]",
    ),
    "dtype": (
        _rewrite(lambda arrays: arrays.update({"a/bias": arrays["a/bias"].astype(np.float16)})),
        "a/bias: planned float32[5], found float16[5]; if that was the wish, say --dtype float16",
    ),
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # the tampering itself overflows
@pytest.mark.parametrize(("tamper", "line"), TAMPERED.values(), ids=TAMPERED)
def test_verification_sees_what_was_tampered_with(tamper: Callable[[Path], None], line: str, tmp_path: Path) -> None:
    decided, checkpoint = opened()
    path = tmp_path / "x.safetensors"
    convert_file(decided, checkpoint, path)
    tamper(path)
    with pytest.raises(weight_bridge.VerificationError) as refused:
        verify(decided, checkpoint, open_checkpoint(path))
    assert str(refused.value).splitlines() == [f"{path} is not what the state dict converts to", f"  - {line}"]


def test_a_writer_that_writes_wrongly_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = SafetensorsSink.write
    monkeypatch.setattr(SafetensorsSink, "write", lambda self, path, at, data: write(self, path, at, data + 1))
    with pytest.raises(weight_bridge.VerificationError):
        convert_file(*opened(), tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "x.safetensors"
    convert_file(*opened(), out)
    before = listing(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SafetensorsSink, "write", full)
    with pytest.raises(weight_bridge.WriteError) as refused:
        convert_file(*opened({**STATE, "a.bias": np.zeros(5)}), out)
    assert str(refused.value) == f"{out}: cannot be written: No space left on device; nothing was left behind"
    assert listing(tmp_path) == before


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(weight_bridge.WriteError, match="cannot be written: File exists"):
        convert_file(*opened(), tmp_path / "file" / "x.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "folder.safetensors" / "kept").write_text("")
    with staged(tmp_path / "folder.safetensors") as stage:
        stage.at.write_text("new")
        with pytest.raises(weight_bridge.WriteError, match="a folder with content is there already"):
            stage.commit()
    assert listing(tmp_path) == {"file": b"", "folder.safetensors/kept": b""}


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
import weight_bridge
from weight_bridge.checkpoint import open_checkpoint
from weight_bridge.conversion import convert_file

state = {"a.weight": np.ones((5, 3), np.float32), "a.bias": np.ones(5, np.float32)}
checkpoint = open_checkpoint(state)
plan = weight_bridge.plan(checkpoint, {"a": {"kernel": np.zeros((3, 5)), "bias": np.zeros(5)}})

def stop(_):
    print("writing", flush=True)
    time.sleep(60)

convert_file(plan, checkpoint, Path(sys.argv[1]), progress=stop)
"""


def test_a_killed_run_leaves_nothing_that_looks_finished_and_a_second_run_cleans_up(tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(out)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    left = [path.name for path in tmp_path.iterdir()]
    assert left == [f".x.safetensors.{process.pid}.partial"]
    deadline = time.monotonic() + 10
    convert_file(*opened(), out)
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]
    assert time.monotonic() < deadline


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_reversion_gives_back_the_very_bits(suffix: str, tmp_path: Path) -> None:
    model = TorchPort()
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    checkpoint = open_checkpoint(model)
    decided = weight_bridge.plan(checkpoint, nnx_port)
    convert_file(decided, checkpoint, tmp_path / "x.safetensors")
    out = tmp_path / f"back{suffix}"
    reverted = revert_file(decided, open_checkpoint(tmp_path / "x.safetensors"), checkpoint, out)
    again = open_checkpoint(out)
    assert reverted.restored == ("convs.1.num_batches_tracked",)
    assert set(again.tensors) == set(state)
    assert all(again.tensors[name].read().tobytes() == state[name].tobytes() for name in state)
    if suffix == ".pt":
        assert TorchPort().load_state_dict(torch.load(out, weights_only=True)).missing_keys == []


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENOSPC, None])
def test_a_file_system_that_reserves_nothing_is_written_to(
    code: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(code, os.strerror(code or 0))

    if code is None:  # a system without the call
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    if code == errno.ENOSPC:
        with pytest.raises(weight_bridge.WriteError, match="No space left on device; nothing was left behind"):
            convert_file(*opened(), tmp_path / "x.safetensors")
        assert [*tmp_path.iterdir()] == []
        return
    assert convert_file(*opened(), tmp_path / "x.safetensors").leaves == 2
    assert len(load_file(tmp_path / "x.safetensors")) == 2


def test_a_sum_of_biases_is_told_apart_by_the_source_until_it_is_trained(tmp_path: Path) -> None:
    state = {name: tensor.numpy() for name, tensor in torch.nn.LSTM(3, 5).state_dict().items()}
    sizes = {"i/kernel": (3, 20), "h/kernel": (5, 20), "h/bias": (20,)}
    target = nest({f"dense_{path}": np.zeros(shape, np.float32) for path, shape in sizes.items()})
    checkpoint = open_checkpoint(state)
    decided = weight_bridge.plan(checkpoint, target)
    convert_file(decided, checkpoint, tmp_path / "x.safetensors")
    reverted = revert_file(decided, open_checkpoint(tmp_path / "x.safetensors"), checkpoint, tmp_path / "back.pt")
    again = open_checkpoint(tmp_path / "back.pt").tensors
    assert reverted.folded == ()
    assert all(again[name].read().tobytes() == value.tobytes() for name, value in state.items())
    trained = {**load_file(tmp_path / "x.safetensors"), "dense_h/bias": np.ones(20, np.float32)}
    reverted = revert_file(decided, open_checkpoint(trained), checkpoint, tmp_path / "trained.pt")
    again = open_checkpoint(tmp_path / "trained.pt").tensors
    assert reverted.folded == ("bias_ih_l0, bias_hh_l0: only their sum is kept",)
    assert np.array_equal(again["bias_ih_l0"].read() + again["bias_hh_l0"].read(), np.ones(20))
    assert np.array_equal(again["weight_hh_l0"].read(), state["weight_hh_l0"])


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_reversion_holds_few_tensors_at_once(suffix: str, tmp_path: Path) -> None:
    state: dict[str, Any] = {f"layers.{i}.weight": np.full((5, 3), i, np.float32) for i in range(9)}
    state |= {"z": np.array([1 + 2j, 3j])} if suffix == ".pt" else {}
    checkpoint = open_checkpoint(state)
    paths = {f"layers/{i}/kernel": np.full((3, 5), i, np.float64) for i in range(9)}
    decided = weight_bridge.plan(checkpoint, nest(paths | ({"z": state["z"]} if "z" in state else {})))
    alive, most = weakref.WeakSet[Any](), list[int]()

    class Held:
        """Lends its memory to an array, and is gone when that is."""

        def __init__(self, array: np.ndarray) -> None:
            self.array, self.__array_interface__ = array, array.__array_interface__

    def read(array: np.ndarray) -> np.ndarray:
        held = Held(array.copy())
        alive.add(held)
        most.append(len(alive))
        return np.asarray(held)

    leaves = paths | ({"z": state["z"]} if "z" in state else {})
    tensors = {p: SourceTensor(p, spec_of(a), lambda a=a: read(a)) for p, a in leaves.items()}
    reverted = revert_file(decided, Checkpoint("trained", tensors), checkpoint, tmp_path / f"back{suffix}")
    again = open_checkpoint(tmp_path / f"back{suffix}").tensors
    assert reverted.tensors == len(state)
    assert all(again[name].read().tobytes() == value.tobytes() for name, value in state.items())
    assert max(most) <= 2


def test_ties_are_restored_as_ties(tmp_path: Path) -> None:
    table = torch.randn(5, 3).bfloat16()
    checkpoint = open_checkpoint({"embed.weight": table, "head.weight": table})
    decided = weight_bridge.plan(checkpoint, {"embed": {"embedding": np.zeros((5, 3))}})
    convert_file(decided, checkpoint, tmp_path / "x.safetensors")
    revert_file(decided, open_checkpoint(tmp_path / "x.safetensors"), checkpoint, tmp_path / "back.pt")
    again = open_checkpoint(tmp_path / "back.pt")
    assert again.ties() == (("embed.weight", "head.weight"),)
    assert again.tensors["head.weight"].read().tobytes() == table.view(torch.int16).numpy().tobytes()


def test_a_state_of_another_model_is_not_reverted(tmp_path: Path) -> None:
    decided, checkpoint = opened()
    save_file({"a/kernel": np.zeros((2, 2)), "c": np.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(weight_bridge.ConversionError) as refused:
        revert_file(decided, open_checkpoint(tmp_path / "x.safetensors"), checkpoint, tmp_path / "back.pt")
    assert refused.value.problems == (
        "a/bias: missing",
        "c: the target has no such leaf",
        "a/kernel: expected shape [3, 5], got [2, 2]",
    )
    with pytest.raises(weight_bridge.UsageError, match=r"expected a name that ends in \.safetensors"):
        revert_file(decided, checkpoint, checkpoint, tmp_path / "back.npz")


def test_receipts_are_json(tmp_path: Path) -> None:
    record = json.loads(convert_file(*opened(), tmp_path / "x.safetensors").to_json())
    assert record["proof"] == {"inverted": 2, "recomputed": 0, "bytes": 80}
