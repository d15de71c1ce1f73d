"""The safetensors reader: every dtype bit for bit, and no header believed."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file, save_model

from weight_bridge._dtypes import SAFETENSORS, numpy_dtype
from weight_bridge._errors import CheckpointError
from weight_bridge.checkpoint import open_checkpoint
from weight_bridge.readers import safetensors_file
from weight_bridge.spec import Spec
from weight_bridge.writers.safetensors_file import SafetensorsSink

Header = dict[str, Any]


def write(path: Path, header: object, data: bytes = b"") -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


def entry(dtype: str, shape: list[Any], begin: int, end: int) -> Header:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("dtype", sorted(SAFETENSORS))
def test_every_dtype_comes_back_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 2, 3 * 5 * 8, np.uint8)
    size = numpy_dtype(dtype).itemsize
    array = raw[: 15 * size].view(numpy_dtype(dtype)).reshape(3, 5)
    with SafetensorsSink(tmp_path / "a.safetensors", {"a": Spec((3, 5), dtype)}, {}) as sink:
        sink.put("a", array)
    read = safetensors_file.tensors(tmp_path / "a.safetensors")["a"][1]()
    assert read.dtype == array.dtype
    assert read.tobytes() == array.tobytes()


def test_what_torch_writes_is_what_is_read(tmp_path: Path) -> None:
    state = {
        "a": torch.randn(3, 5),
        "b": torch.randn(2, 3, 7).bfloat16(),
        "c": torch.randn(11).to(torch.float8_e4m3fn),
        "d": torch.tensor(3),
        "e": torch.zeros(0, 5),
        "f": torch.tensor([True, False]),
    }
    save_file(state, tmp_path / "m.safetensors")
    opened = open_checkpoint(tmp_path / "m.safetensors")
    live = open_checkpoint(state)
    assert list(opened.tensors) == sorted(state, key=list(opened.tensors).index)
    for name in state:
        assert opened.tensors[name].spec == live.tensors[name].spec
        assert opened.tensors[name].read().tobytes() == live.tensors[name].read().tobytes()


def test_what_is_written_is_what_safetensors_reads(tmp_path: Path) -> None:
    arrays = {"b/c": np.arange(15, dtype=np.float32).reshape(3, 5), "a": np.arange(3, dtype=np.float16)}
    specs = {"b/c": Spec((3, 5), "float32"), "a": Spec((3,), "float16")}
    with SafetensorsSink(tmp_path / "m.safetensors", specs, {"format": "flax"}) as sink:
        for name in arrays:
            sink.put(name, arrays[name])
    again = safetensors.numpy.load_file(tmp_path / "m.safetensors")
    assert {name: array.tolist() for name, array in again.items()} == {n: a.tolist() for n, a in arrays.items()}


def test_duplicates_that_save_model_dropped_come_back_as_ties(tmp_path: Path) -> None:
    model = torch.nn.ModuleDict({"embed": torch.nn.Embedding(7, 3), "head": torch.nn.Linear(3, 7, bias=False)})
    model["head"].weight = model["embed"].weight
    save_model(model, str(tmp_path / "m.safetensors"))
    opened = open_checkpoint(tmp_path / "m.safetensors")
    assert opened.ties() == (("embed.weight", "head.weight"),)


ONE = entry("F32", [3], 0, 12)
FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty": (
        lambda p: (p.write_bytes(b"") and p) or p,
        "truncated or not safetensors: the header should take 0 bytes, the file has 0",
    ),
    "header longer than the file": (
        lambda p: p.write_bytes(struct.pack("<Q", 2**60) + b"{}") and p,
        "truncated or not safetensors: the header should take 1152921504606846976 bytes, the file has 10",
    ),
    "not json": (lambda p: write(p, b"{'a'"), "the header is not JSON: "),
    "a list": (lambda p: write(p, []), "the header is a JSON list, expected an object"),
    "keys twice": (
        lambda p: write(p, f'{{"a": {json.dumps(ONE)}, "a": {json.dumps(ONE)}}}'.encode(), bytes(12)),
        "the header holds keys twice: a",
    ),
    "truncated data": (
        lambda p: write(p, {"a": ONE}, bytes(11)),
        "a: bytes 0 to 12 lie outside the file's 11 bytes of data: it was truncated",
    ),
    "data behind the end": (
        lambda p: write(p, {"a": ONE}, bytes(13)),
        "the tensors take 12 bytes, the file holds 13: it was truncated or appended to",
    ),
    "overlap": (
        lambda p: write(p, {"a": ONE, "b": entry("F32", [3], 8, 20)}, bytes(20)),
        "b: starts at byte 8, where 12 is due: tensors overlap or leave a gap",
    ),
    "gap": (
        lambda p: write(p, {"a": ONE, "b": entry("F32", [1], 16, 20)}, bytes(20)),
        "b: starts at byte 16, where 12 is due: tensors overlap or leave a gap",
    ),
    "size": (
        lambda p: write(p, {"a": entry("F32", [5], 0, 12)}, bytes(12)),
        "a: float32[5] takes 20 bytes, its offsets span 12",
    ),
    "huge shape": (
        lambda p: write(p, {"a": entry("F32", [2**62, 2**62], 0, 12)}, bytes(12)),
        "a: float32[4611686018427387904, 4611686018427387904] takes ",
    ),
    "negative shape": (
        lambda p: write(p, {"a": entry("F32", [-3], 0, 12)}, bytes(12)),
        "a: shape [-3] is not a list of sizes",
    ),
    "boolean shape": (
        lambda p: write(p, {"a": entry("F32", [True], 0, 4)}, bytes(4)),
        "a: shape [True] is not a list of sizes",
    ),
    "dtype": (lambda p: write(p, {"a": entry("F4", [3], 0, 12)}, bytes(12)), "a: dtype 'F4' is not known; known: "),
    "offsets": (
        lambda p: write(p, {"a": entry("F32", [3], 12, 0)}, bytes(12)),
        "a: bytes 12 to 0 lie outside the file's 12 bytes of data: it was truncated",
    ),
    "entry": (lambda p: write(p, {"a": [1, 2]}, bytes(12)), "a: expected exactly dtype, shape and data_offsets"),
}


@pytest.mark.parametrize(("make", "message"), FAULTS.values(), ids=FAULTS)
def test_a_header_that_does_not_hold_is_refused(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    make(path)
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(path)
    assert str(path) in str(refused.value)
    assert message in str(refused.value)


def good_file() -> bytes:
    state = {"a": np.arange(3, dtype=np.float32), "b": np.arange(15, dtype=np.float16).reshape(3, 5)}
    return safetensors.numpy.save(state, {"format": "pt"})


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])  # one folder serves all draws
@given(
    edits=st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 260),
)
def test_mutated_files_are_read_or_refused(edits: list[tuple[int, int]], cut: int, tmp_path: Path) -> None:
    content = bytearray(good_file())
    for at, value in edits:
        content[at % len(content)] = value
    path = tmp_path / "m.safetensors"
    path.write_bytes(content[: max(cut, 1)] if cut < 100 else content)
    with contextlib.suppress(CheckpointError):  # anything else fails the test
        arrays = {name: tensor.read() for name, tensor in open_checkpoint(path).tensors.items()}
        assert sum(array.nbytes for array in arrays.values()) <= len(content)
