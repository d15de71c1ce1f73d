"""Mutated files: whatever one holds, it is read or refused with an error of the package, and nothing else happens."""

from __future__ import annotations

import contextlib
import json
import resource
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from weight_bridge import CheckpointError, WeightBridgeError
from weight_bridge.checkpoint import open_checkpoint
from weight_bridge.spec import spec_of
from weight_bridge.writers.msgpack_file import MsgpackSink

ARRAYS = {"a/w": np.arange(15, dtype=np.float32).reshape(3, 5), "a/b": np.arange(7, dtype=np.int16)}
SPECIAL = (0x00, 0x01, 0x7F, 0x80, 0xC1, 0xDB, 0xDD, 0xDF, 0xFF)


def files(folder: Path) -> dict[str, bytes]:
    """One good file of each kind that is parsed here."""
    save_file(ARRAYS, folder / "x.safetensors")
    with MsgpackSink(folder / "x.msgpack", {path: spec_of(array) for path, array in ARRAYS.items()}, {}) as sink:
        for path, array in ARRAYS.items():
            sink.put(path, array)
    return {suffix: (folder / f"x{suffix}").read_bytes() for suffix in (".safetensors", ".msgpack")}


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """A truncated file, or one with a few bytes changed, mostly near its beginning."""
    if rng.random() < 0.2:
        return content[: int(rng.integers(0, len(content)))]
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, len(changed) if rng.random() < 0.3 else min(200, len(changed))))
        changed[at] = int(rng.choice(SPECIAL)) if rng.random() < 0.5 else int(rng.integers(0, 256))
    return bytes(changed)


@pytest.mark.parametrize("suffix", [".safetensors", ".msgpack"])
def test_mutated_files_are_read_or_refused(suffix: str, tmp_path: Path) -> None:
    content, rng = files(tmp_path)[suffix], np.random.default_rng(0)
    path, refused = tmp_path / f"bad{suffix}", 0
    for _ in range(1000):
        path.write_bytes(mutated(content, rng))
        try:
            found = open_checkpoint(path)
            assert sum(tensor.read().nbytes for tensor in found.tensors.values()) <= 2 * len(content)
        except WeightBridgeError:
            refused += 1
    assert refused > 500
    assert {file.name for file in tmp_path.iterdir()} == {"x.safetensors", "x.msgpack", f"bad{suffix}"}


def test_an_empty_array_of_absurd_extents_is_refused(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}
    header = json.dumps({"a": entry}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(CheckpointError, match="is more than an array can have"):
        open_checkpoint(tmp_path / "x.safetensors")


@contextlib.contextmanager
def limited(extra: int) -> Iterator[None]:
    """Lets the process have only `extra` bytes of address space more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def opened(path: Path, most: int) -> str:
    """Whether a file was read, all of it, or refused; anything else is raised."""
    peak, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    try:
        found = [tensor.read() for tensor in open_checkpoint(path).tensors.values()]
        assert all(array.nbytes >= 0 for array in found)
        outcome = "read"
    except WeightBridgeError as refusal:
        outcome = str(refusal)
    assert time.monotonic() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < most // 1024
    return outcome


NAMES: tuple[Any, ...] = (
    "../secret.safetensors", "/etc/passwd", "..\\x.safetensors", "a/b.safetensors", "", ".", "..", "x\0.safetensors",
    "missing.safetensors", "b.safetensors", "C:\\x.safetensors", "~/x.safetensors", "a.safetensors ", "index", 7, None,
    [], {}, True, "a" * 5000, "\ud800", "//a.safetensors", "./a.safetensors",
)  # fmt: skip


def test_mutated_indexes_are_read_or_refused(tmp_path: Path) -> None:
    beside, rng = tmp_path / "model", np.random.default_rng(0)
    beside.mkdir()
    save_file({"secret": np.zeros(3)}, tmp_path / "secret.safetensors")
    save_file({"a": ARRAYS["a/w"], "b": ARRAYS["a/b"]}, beside / "a.safetensors")
    save_file({"c": ARRAYS["a/w"]}, beside / "b.safetensors")
    right = {"a": "a.safetensors", "b": "a.safetensors", "c": "b.safetensors"}
    index, outcomes = beside / "model.safetensors.index.json", list[str]()
    index.write_text(json.dumps({"weight_map": right}))
    assert opened(index, 2**28) == "read"
    with limited(2**30):
        for number in range(700):
            wrong: dict[str, Any] = dict(right)
            place = str(rng.choice(["a", "b", "c", "d", "../d", "secret"]))
            wrong[place] = NAMES[number % len(NAMES)]
            text = json.dumps({"weight_map": wrong, "metadata": {"total_size": [7, -1, "x", 10**40][number % 4]}})
            if number % 3 == 0:  # a name twice, a broken text, another kind of content
                text = [
                    text.replace('"weight_map": {', '"weight_map": {"a": "b.safetensors", '),
                    text[:-9],
                    f"[{text}]",
                ][number // 3 % 3]
            index.write_bytes(mutated(text.encode(), rng) if number % 5 == 0 else text.encode())
            outcomes.append(opened(index, 2**28))
    assert sum(outcome != "read" for outcome in outcomes) > 500
    assert not any("secret.safetensors holds" in outcome for outcome in outcomes)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "secret.safetensors"}


class Harmful:
    """Runs code when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return Path.touch, (self.place,)


def test_mutated_pickles_are_read_or_refused(tmp_path: Path) -> None:
    rng, path, refused = np.random.default_rng(0), tmp_path / "x.pt", 0
    state = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
    kinds: list[bytes] = []
    for modern in (True, False):
        torch.save(state, path, _use_new_zipfile_serialization=modern)
        kinds.append(path.read_bytes())
    with limited(2**30):
        for number in range(600):
            path.write_bytes(mutated(kinds[number % 2], rng))
            refused += opened(path, 2**28) != "read"
    assert refused > 150
    assert [file.name for file in tmp_path.iterdir()] == ["x.pt"]


def test_pickles_with_code_and_absurd_sizes(tmp_path: Path) -> None:
    place, path = tmp_path / "touched", tmp_path / "x.pt"
    absurd = torch.zeros(1).expand(2**40)  # four terabytes, of which four bytes are stored
    for modern in (True, False):
        torch.save({"w": Harmful(place)}, path, _use_new_zipfile_serialization=modern)
        assert "would run code: it refers to" in opened(path, 2**28)
        assert not place.exists()
    with limited(2**30):
        torch.save({"w": absurd}, path)
        assert opened(path, 2**28) == "read"  # a view, as torch has it; no memory is spent
        for storage in (b"\x8a\x06" + (2**40).to_bytes(6, "little"), b"\x8a\x09" + (2**70).to_bytes(9, "little")):
            torch.save({"w": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)
            path.write_bytes(
                path.read_bytes().replace(b"K\x03\x85", storage + b"\x85").replace(b"K\x03t", storage + b"t")
            )
            assert opened(path, 2**28) != "read"
