"""Mutated files: whatever one holds, it is read or refused with an error of the package, and nothing else happens."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
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
