"""Safetensors, read as memory-mapped bytes after the header has been checked; no framework is needed.

Format: eight bytes (little-endian header length), a JSON header, the data. Nothing of the header is believed:
lengths, offsets, overlaps, gaps, duplicate keys, dtypes and shapes are checked against the file before one byte of
data is touched.
References: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, cast

import numpy as np

from weight_bridge._dtypes import FROM_SAFETENSORS, numpy_dtype
from weight_bridge._errors import CheckpointError
from weight_bridge.spec import Array, Spec

MAX_HEADER = 100_000_000  # the reference implementation's own limit
MAX_EXTENT = 2**63 - 1

Entry = tuple[Spec, Callable[[], Array], Hashable]


def tensors(path: Path) -> dict[str, Entry]:
    """Returns the tensors of a file; their bytes are mapped, not read.

    Args:
      path: a `.safetensors` file.

    Returns:
      Name → (spec, read, storage) in header order. Names that the file's metadata lists as dropped duplicates of
      another tensor come back as aliases of it.

    Raises:
      CheckpointError: the file is truncated or its header does not hold; every problem is listed.
    """
    size = path.stat().st_size
    start, header = _header(path, size)
    metadata = header.pop("__metadata__", {})
    placed = _placed(path, header, size - start)
    data = _mapped(path, start)
    found = {name: _entry(path, data, spec, begin) for name, (spec, begin) in placed.items()}
    return found | _dropped_duplicates(metadata, found)


def metadata(path: Path) -> dict[str, Any]:
    """Returns the free metadata of a file's header."""
    return cast("dict[str, Any]", _header(path, path.stat().st_size)[1].get("__metadata__", {}))


def _header(path: Path, size: int) -> tuple[int, dict[str, Any]]:
    """Offset of the data, and the parsed header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 0 < length <= min(size - 8, MAX_HEADER):
            raise CheckpointError(
                f"{path}: truncated or not safetensors: the header should take {length} bytes, the file has {size}"
            )
        raw = file.read(length)
    duplicates: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        duplicates.extend(
            sorted({name for name in names if names.count(name) > 1}) if len({*names}) < len(names) else []
        )
        return dict(pairs)

    try:
        header = json.loads(raw, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the header is not JSON: {error}") from None
    if duplicates:
        raise CheckpointError(f"{path}: the header holds keys twice: {', '.join(duplicates)}")
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: the header is a JSON {type(header).__name__}, expected an object")
    return 8 + length, cast("dict[str, Any]", header)


def _placed(path: Path, header: dict[str, Any], available: int) -> dict[str, tuple[Spec, int]]:
    """Checked specs and offsets; every problem is collected."""
    placed: dict[str, tuple[Spec, int]] = {}
    problems: list[str] = []
    for name, entry in header.items():
        try:
            placed[name] = _checked(entry, available)
        except (ValueError, TypeError, KeyError) as error:
            problems.append(f"{name}: {error.args[0] if error.args else 'malformed'}")
    end = 0
    for begin, name, spec in sorted((begin, name, spec) for name, (spec, begin) in placed.items() if spec.nbytes):
        if begin != end and not problems:
            problems.append(f"{name}: starts at byte {begin}, where {end} is due: tensors overlap or leave a gap")
        end = begin + spec.nbytes
    if not problems and end != available:
        problems.append(f"the tensors take {end} bytes, the file holds {available}: it was truncated or appended to")
    if problems:
        raise CheckpointError(f"{path}: the file does not hold what its header says", problems)
    return placed


def _checked(entry: Any, available: int) -> tuple[Spec, int]:
    """One header entry."""
    if not isinstance(entry, dict) or set(cast("dict[str, Any]", entry)) != {"dtype", "shape", "data_offsets"}:
        raise ValueError("expected exactly dtype, shape and data_offsets")
    record = cast("dict[str, Any]", entry)
    code, shape, offsets = record["dtype"], record["shape"], record["data_offsets"]
    if not isinstance(code, str) or code not in FROM_SAFETENSORS:
        raise ValueError(f"dtype {code!r} is not known; known: {', '.join(FROM_SAFETENSORS)}")
    if not isinstance(shape, list) or len(cast("list[Any]", shape)) > 64 or not _counts(cast("list[Any]", shape)):
        raise ValueError(f"shape {shape!r:.80} is not a list of sizes")
    if not isinstance(offsets, list) or len(cast("list[Any]", offsets)) != 2 or not _counts(cast("list[Any]", offsets)):
        raise ValueError(f"data_offsets {offsets!r:.80} are not two byte positions")
    begin, end = cast("list[int]", offsets)
    spec = Spec(tuple(cast("list[int]", shape)), FROM_SAFETENSORS[code])
    if not begin <= end <= available:
        raise ValueError(f"bytes {begin} to {end} lie outside the file's {available} bytes of data: it was truncated")
    if spec.nbytes != end - begin:
        raise ValueError(f"{spec} takes {spec.nbytes} bytes, its offsets span {end - begin}")
    return spec, begin


def _counts(values: list[Any]) -> bool:
    return all(type(value) is int and 0 <= value <= MAX_EXTENT for value in values)


def _mapped(path: Path, start: int) -> memoryview:
    """The data as read-only mapped memory."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[start:]


def _entry(path: Path, data: memoryview, spec: Spec, begin: int) -> Entry:
    def read() -> Array:
        raw = np.frombuffer(data, np.uint8, spec.nbytes, begin) if spec.nbytes else np.empty(0, np.uint8)
        return raw.view(numpy_dtype(spec.dtype)).reshape(spec.shape)

    return spec, read, (str(path), begin, spec) if spec.nbytes else None


def _dropped_duplicates(metadata: Any, found: dict[str, Entry]) -> dict[str, Entry]:
    """Names that `safetensors.torch.save_model` dropped because another name shares their storage."""
    if not isinstance(metadata, dict):
        return {}
    names = cast("dict[str, Any]", metadata)
    return {
        name: found[kept]
        for name, kept in names.items()
        if isinstance(kept, str) and kept in found and name not in found
    }
