"""A sharded checkpoint: an index that says which file beside it holds which tensor."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, cast

from weight_bridge._errors import CheckpointError
from weight_bridge.readers.mapped import Entry

MAX_INDEX = 100_000_000


def contents(path: Path, open_shard: Callable[[Path], Mapping[str, Entry]]) -> tuple[dict[str, Entry], dict[str, Any]]:
    """Returns the tensors of all shards under the names of the index, and the index's free metadata.

    Args:
      path: `model.safetensors.index.json`, with `{"weight_map": {name: file}}`.
      open_shard: reads one shard's header.

    Returns:
      Name → (spec, read, storage), in index order; then the metadata.

    Raises:
      CheckpointError: a shard is missing, lies elsewhere, or holds other names than the index says; all are listed.
    """
    weight_map, metadata = _index(path)
    problems = [
        f"shard {file!r} is not a plain file name" for file in dict.fromkeys(weight_map.values()) if not _plain(file)
    ]
    if problems:
        raise CheckpointError(f"{path}: shards must lie beside the index", problems)
    shards: dict[str, Mapping[str, Entry]] = {}
    for file in dict.fromkeys(weight_map.values()):
        shard = path.parent / file
        if not shard.is_file():
            problems.append(f"shard {file} is missing")
            continue
        shards[file] = open_shard(shard)
    problems += [
        f"{name}: the index places it in {file}, which does not hold it"
        for name, file in weight_map.items()
        if file in shards and name not in shards[file]
    ]
    for file, shard in shards.items():
        problems.extend(
            f"{name}: {file} holds it, the index does not" for name in shard if weight_map.get(name) != file
        )
    if problems:
        raise CheckpointError(f"{path}: index and shards disagree", problems)
    return {name: shards[file][name] for name, file in weight_map.items()}, metadata


def _index(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Name → file, and the metadata."""
    if path.stat().st_size > MAX_INDEX:
        raise CheckpointError(f"{path}: an index of {path.stat().st_size} bytes is refused")
    try:
        index: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{path}: not JSON: {error!s:.200}") from None
    content = cast("dict[str, Any]", index) if isinstance(index, dict) else {}
    found, metadata = content.get("weight_map"), content.get("metadata")
    if not isinstance(found, dict) or not all(isinstance(file, str) for file in cast("dict[str, Any]", found).values()):
        raise CheckpointError(f"{path}: no weight_map from names to files")
    return cast("dict[str, str]", found), cast("dict[str, Any]", metadata if isinstance(metadata, dict) else {})


def _plain(file: str) -> bool:
    """Whether a shard is named by a bare file name on any system."""
    plain = file == PurePosixPath(file).name == PureWindowsPath(file).name
    return plain and "\0" not in file and file not in {"", ".", ".."}
