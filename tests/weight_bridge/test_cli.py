"""The command line: exit codes, what goes to which stream, messages read whole."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from tests.weight_bridge.ported import TorchPort
from weight_bridge._cli import main

TARGET = "tests.weight_bridge.ported:nnx_port"
LINEN = "tests.weight_bridge.ported:linen_port"
SOURCE = "tests.weight_bridge.ported:TorchPort"
IGNORED = "convs.1.num_batches_tracked: a counter that inference never reads and training reads only without momentum"


class Run:
    """Runs the command line in this process and keeps what it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        said = self._capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return TorchPort().state_dict()


@pytest.fixture
def checkpoint(tmp_path: Path, state: dict[str, torch.Tensor]) -> Path:
    path = tmp_path / "in" / "c.safetensors"
    path.parent.mkdir()
    save_file(state, path)
    return path


def test_inspect(run: Run, checkpoint: Path) -> None:
    code, out, err = run("inspect", checkpoint)
    assert (code, err) == (0, "")
    assert "hypernet.0.weight  float32[7, 2]  56 bytes\n" in out
    assert out.endswith("17 tensors, 1836 bytes\n")
    record = json.loads(run("inspect", checkpoint, "--json")[1])
    assert {tensor["name"]: tensor["shape"] for tensor in record["tensors"]}["temporal"] == [3, 25]


def test_plan_shows_saves_and_reads_back(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    code, text, err = run("plan", checkpoint, "--target", TARGET, "--save", tmp_path / "m.toml")
    assert (code, err) == (0, "")
    assert text.endswith("16 leaves: 12 proved, 4 assumed\n")
    code, text, _ = run("plan", checkpoint, "--target", TARGET, "--mapping", tmp_path / "m.toml", "--strict")
    assert code == 0
    assert text.endswith("16 leaves: 16 written\n")
    code, text, _ = run("plan", checkpoint, "--target", LINEN, "--source", SOURCE, "--json")
    assert {step["verdict"] for step in json.loads(text)["steps"]} == {"proved"}


@pytest.mark.parametrize("target", [TARGET, LINEN])
def test_convert_verify_revert(run: Run, checkpoint: Path, tmp_path: Path, target: str, state: Any) -> None:
    out, back = tmp_path / "out", tmp_path / "back.safetensors"
    code, said, err = run("convert", checkpoint, out, "--target", target)
    proof = "16 leaves inverted, 1828 bytes equal bit for bit"
    assert (code, err) == (0, f"ignored {IGNORED}\n")
    assert said == f"{out}/model.safetensors: 16 leaves (12 proved, 4 assumed); verified: {proof}\n"
    code, said, err = run("verify", checkpoint, out, "--target", target)
    assert (code, said, err) == (0, f"{out} is what {checkpoint} converts to: {proof}\n", "")
    for source in (checkpoint, SOURCE):
        code, said, err = run("revert", out, back, "--target", target, "--source", source)
        kept = "convs.1.num_batches_tracked as in the source"
        assert (code, said, err) == (0, f"{back}: 17 tensors, read back bit for bit; {kept}\n", "")
        again = load_file(back)
        assert all(again[name].tobytes() == tensor.numpy().tobytes() for name, tensor in state.items())


def test_a_folder_takes_shards_of_a_size(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    words = ("convert", checkpoint, tmp_path / "out", "--target", TARGET, "--max-shard-size")
    assert run(*words, "1KB")[0] == 0
    assert len([*(tmp_path / "out").glob("model-*-of-00002.safetensors")]) == 2
    assert run("verify", checkpoint, tmp_path / "out", "--target", TARGET)[0] == 0
    wrong = "usage error: --max-shard-size 5 potatoes: expected a size such as 500MB or 5GB\n"
    assert run(*words, "5 potatoes") == (2, "", wrong)


def test_json_goes_to_stdout_alone(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    arguments = ("convert", checkpoint, tmp_path / "x.safetensors", "--target", TARGET, "--dtype", "bfloat16", "--json")
    code, out, err = run(*arguments)
    assert code == 0
    record = json.loads(out)
    assert record["proof"] == {"inverted": 1, "recomputed": 15, "bytes": 930}
    assert record["verdicts"] == {"proved": 12, "assumed": 4}
    assert err == f"ignored {IGNORED}\n"
    code, out, _ = run(
        "verify", checkpoint, tmp_path / "x.safetensors", "--target", TARGET, "--dtype", "bfloat16", "--json"
    )
    assert (code, json.loads(out)["ok"]) == (0, True)


def _truncated(path: Path, state: dict[str, torch.Tensor]) -> None:
    save_file(state, path)
    path.write_bytes(path.read_bytes()[:-5])


def _save(change: Any) -> Any:
    def make(path: Path, state: dict[str, torch.Tensor]) -> None:
        state = dict(state)
        change(state)
        save_file(state, path)

    return make


class _Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch evil-was-here",)


def _evil(path: Path, _: dict[str, torch.Tensor]) -> None:
    path.write_bytes(pickle.dumps({"evil": _Evil()}, protocol=2))


BAD: dict[str, tuple[str, Any, list[str]]] = {
    "truncated": (
        "c.safetensors",
        _truncated,
        [
            "refused: {path}: the file does not hold what its header says",
            "  - temporal_bias: bytes 1816 to 1836 lie outside the file's 1831 bytes of data: it was truncated",
        ],
    ),
    "missing key": (
        "c.safetensors",
        _save(lambda state: state.pop("hypernet.0.bias")),
        [
            "refused: no plan from {path} to tests.weight_bridge.ported:nnx_port: 1 problem",
            (
                "  - hypernet/0/bias float32[7]: no tensor fills it; no unused tensor has these extents; "
                "--allow-missing 'hypernet/0/bias' leaves it empty"
            ),
        ],
    ),
    "extra key": (
        "c.safetensors",
        _save(lambda state: state.update({"head.weight": torch.zeros(3, 7)})),
        [
            "refused: no plan from {path} to tests.weight_bridge.ported:nnx_port: 1 problem",
            "  - head.weight float32[3, 7]: no leaf of the target takes it; --drop 'head.weight' leaves it out",
        ],
    ),
    "wrong shape": (
        "c.safetensors",
        _save(lambda state: state.update({"hypernet.0.weight": torch.zeros(7, 3)})),
        [
            "refused: no plan from {path} to tests.weight_bridge.ported:nnx_port: 1 problem",
            (
                "  - hypernet/0/kernel: expected shape [2, 7], got hypernet.0.weight of shape [7, 3], "
                "which permute(1, 0) turns into [3, 7]"
            ),
        ],
    ),
    "NaN": (
        "c.safetensors",
        _save(lambda state: state.update({"temporal_bias": torch.tensor([[0, 1, float("nan"), 2, 3]])})),
        [
            "refused: {path} cannot be converted; nothing was written",
            "  - temporal_bias: 1 of 5 elements are NaN, the first at [0, 2]; --allow-nan lets them pass",
        ],
    ),
    "code": (
        "c.pt",
        _evil,
        [
            (
                "refused: {path}: refused, reading it would run code: it refers to posix.system; "
                "only plain tensors are unpickled"
            )
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "make", "lines"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_and_the_output_folder_stays(
    name: str, make: Any, lines: list[str], run: Run, tmp_path: Path, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / name, tmp_path / "out"
    make(path, state)
    out.mkdir()
    (out / "model.safetensors").write_bytes(b"an older result")
    monkeypatch.chdir(out)
    code, said, err = run("convert", path, out, "--target", TARGET)
    assert (code, said) == (1, "")
    assert err.splitlines() == [line.format(path=path) for line in lines]
    assert {file.name: file.read_bytes() for file in out.iterdir()} == {"model.safetensors": b"an older result"}


def test_usage_errors_end_with_two(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    assert run("inspect", tmp_path / "none.pt") == (
        2,
        "",
        f"usage error: {tmp_path / 'none.pt'}: no such file or folder\n",
    )
    assert run("convert", checkpoint, tmp_path / "x.txt", "--target", TARGET) == (
        2,
        "",
        (
            f"usage error: {tmp_path / 'x.txt'}: the name says another format than safetensors, which is a file "
            ".safetensors, or a folder that holds it; make a folder of this name first if that is meant\n"
        ),
    )
    code, out, err = run("plan", checkpoint, "--target", "nothing:here")
    assert (code, out) == (2, "")
    assert err.startswith("usage error: target 'nothing:here': cannot import nothing: ")
    for arguments in (("plan", checkpoint), ("convert", checkpoint), ("convert", "--dtype", "int3"), ("what",)):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert err
    assert run("revert", checkpoint, tmp_path / "b.pt", "--target", TARGET, "--source", "nowhere")[0] == 2


def test_a_trainer_checkpoint_needs_its_key(run: Run, tmp_path: Path, state: Any) -> None:
    torch.save({"epoch": 3, "model": state}, tmp_path / "t.pt")
    code, _, err = run("convert", tmp_path / "t.pt", tmp_path / "out", "--target", TARGET)
    assert code == 1
    assert "--key model picks the state dict inside" in err
    code, _, _ = run("convert", tmp_path / "t.pt", tmp_path / "out", "--target", TARGET, "--key", "model")
    assert code == 0


def test_allowances_and_structure(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    entries = [{"path": "params/hypernet/layers_0/kernel", "shape": [2, 7], "dtype": "float32", "variable": "Param"}]
    entries.append({"path": "params/head/kernel", "shape": [17, 19], "dtype": "float32"})
    (tmp_path / "structure.json").write_text(json.dumps(entries))
    command = ("convert", checkpoint, tmp_path / "x.safetensors", "--target", tmp_path / "structure.json")
    assert run(*command)[0] == 1
    code, _, err = run(*command, "--drop", "**", "--drop", "heads.*", "--allow-missing", "params/head/*")
    assert code == 0
    assert "warning: --drop 'heads.*' matches nothing\n" in err
    assert "left empty params/head/kernel: allowed by 'params/head/*'\n" in err
    assert list(load_file(tmp_path / "x.safetensors")) == ["params/hypernet/layers_0/kernel"]


def test_the_module_runs_from_any_folder_and_finds_the_user_s_code(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import numpy as np\ndef tree(): return {'a': {'kernel': np.zeros((3, 5))}}\n")
    torch.save({"a.weight": torch.zeros(5, 3)}, tmp_path / "c.pt")
    command = [sys.executable, "-m", "weight_bridge", "convert", "c.pt", "x.safetensors", "--target", "mine:tree"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert load_file(tmp_path / "x.safetensors")["a/kernel"].shape == (3, 5)
    assert "\x1b" not in done.stderr + done.stdout


def test_a_terminal_shows_progress_and_its_end_is_clean(checkpoint: Path, tmp_path: Path) -> None:
    entries = [{"path": "params/temporal", "shape": [3, 25], "dtype": "float32"}]
    (tmp_path / "structure.json").write_text(json.dumps(entries))
    target = str(tmp_path / "structure.json")
    command = [sys.executable, "-m", "weight_bridge", "convert", str(checkpoint), "x.safetensors", "--drop", "**"]
    ours, theirs = os.openpty()
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "TERM": "xterm"}
    done = subprocess.run(
        [*command, "--target", target],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment,
        check=False,
    )
    os.close(theirs)
    said = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "converting" in said
    assert b"converting" not in done.stdout


LOADS_NOTHING = """
import json, sys
from pathlib import Path
import numpy as np
from weight_bridge._cli import main
code = main(sys.argv[1:])
assert code == 0, code
assert not {"torch", "jax", "flax"} & set(sys.modules), sorted({"torch", "jax", "flax"} & set(sys.modules))
"""


def test_safetensors_to_a_structure_needs_neither_torch_nor_jax(checkpoint: Path, tmp_path: Path) -> None:
    entries = [{"path": "params/temporal", "shape": [3, 25], "dtype": "float32"}]
    (tmp_path / "structure.json").write_text(json.dumps(entries))
    arguments = [
        "convert",
        str(checkpoint),
        str(tmp_path / "x.safetensors"),
        "--target",
        str(tmp_path / "structure.json"),
    ]
    command = [sys.executable, "-c", LOADS_NOTHING, *arguments, "--drop", "**"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(load_file(tmp_path / "x.safetensors")["params/temporal"], load_file(checkpoint)["temporal"])
