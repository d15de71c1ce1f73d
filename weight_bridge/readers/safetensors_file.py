"""Safetensors, read as memory-mapped bytes after the header has been checked; no framework is needed.

Format: eight bytes (little-endian header length), a JSON header, the data. Nothing of the header is believed:
lengths, offsets, overlaps, gaps, duplicate keys, dtypes and shapes are checked against the file before one byte of
data is touched.
References: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, cast

from weight_bridge._dtypes import FROM_SAFETENSORS
from weight_bridge._errors import CheckpointError
from weight_bridge.readers.mapped import Entry, MappedFile
from weight_bridge.spec import Spec

MAX_HEADER = 100_000_000  # the reference implementation's own limit
MAX_EXTENT = 2**63 - 1


def tensors(path: Path) -> dict[str, Entry]:
    """Returns the tensors of a file; see `contents`."""
    return contents(path)[0]


def contents(path: Path) -> tuple[dict[str, Entry], dict[str, Any]]:
    """Returns the tensors of a file, whose bytes are mapped, not read, and its free metadata.

    Args:
      path: a `.safetensors` file.

    Returns:
      Name → (spec, read, storage) in header order. Names that the file's metadata lists as dropped duplicates of
      another tensor come back as aliases of it. Then the metadata.

    Raises:
      CheckpointError: the file is truncated or its header does not hold; every problem is listed.
    """
    size = path.stat().st_size
    start, header = _header(path, size)
    metadata: Any = header.pop("__metadata__", None)
    if not isinstance(metadata, dict):
        metadata = {}
    placed = _placed(path, header, size - start)
    data = MappedFile(path)
    found = {name: data.entry(spec, start + begin) for name, (spec, begin) in placed.items()}
    return found | _dropped_duplicates(metadata, found), cast("dict[str, Any]", metadata)


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
        found = dict(pairs)
        if len(found) < len(pairs):
            duplicates.extend(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        return found

    try:
        header = json.loads(raw, object_pairs_hook=unique)
    except (ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{path}: the header is not JSON: {error!s:.200}") from None
    if duplicates:
        raise CheckpointError(f"{path}: the header holds keys twice: {', '.join(sorted(duplicates)[:20])}")
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
        raise ValueError(f"{spec!s:.200} takes {spec.nbytes} bytes, its offsets span {end - begin}")
    if math.prod(max(size, 1) for size in spec.shape) > MAX_EXTENT // 16:
        raise ValueError(f"shape {shape!r:.80} is more than an array can have")
    return spec, begin


def _counts(values: list[Any]) -> bool:
    return all(type(value) is int and 0 <= value <= MAX_EXTENT for value in values)


def _dropped_duplicates(metadata: dict[str, Any], found: dict[str, Entry]) -> dict[str, Entry]:
    """Names that `safetensors.torch.save_model` dropped because another name shares their storage."""
    return {
        name: found[kept]
        for name, kept in metadata.items()
        if isinstance(kept, str) and kept in found and name not in found
    }
