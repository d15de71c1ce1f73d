"""A checkpoint as lazy source tensors: headers first, bytes when asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weight_bridge._errors import CheckpointError, UsageError
from weight_bridge.readers import index_file, live, pickle_file, safetensors_file
from weight_bridge.spec import Array, Spec
from weight_bridge.structure import Layer

PICKLES = (".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class SourceTensor:
    """One tensor of a checkpoint, not yet read.

    Args:
      name: its torch name.
      spec: shape and dtype.
      read: returns the array, a view where possible; called at most once per use.
      storage: what identifies its elements in memory, equal for tied tensors; None where a format cannot share.
    """

    name: str
    spec: Spec
    read: Callable[[], Array]
    storage: Hashable = None


@dataclass(frozen=True)
class Checkpoint:
    """Every tensor of a checkpoint by name, in the order it lists them.

    Args:
      origin: how messages call it.
      tensors: name → tensor.
      layers: torch module name → layer, where the checkpoint is a live module.
    """

    origin: str
    tensors: Mapping[str, SourceTensor]
    layers: Mapping[str, Layer] = field(default_factory=dict[str, Layer])

    def ties(self) -> tuple[tuple[str, ...], ...]:
        """Returns the groups of names that share one storage entirely, each in checkpoint order."""
        groups: dict[Hashable, list[str]] = {}
        for tensor in self.tensors.values():
            if tensor.storage is not None:
                groups.setdefault(tensor.storage, []).append(tensor.name)
        return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def open_checkpoint(what: Any, *, key: str | None = None) -> Checkpoint:
    """Opens a checkpoint and reads its headers, nothing more.

    Args:
      what: a path (`.safetensors`, `.safetensors.index.json`, a folder holding either, `.pt`/`.pth`/`.bin`), a state
        dict of torch tensors or numpy arrays, a `torch.nn.Module`, or a `Checkpoint`.
      key: dotted place of the state dict inside a trainer's checkpoint.

    Returns:
      The tensors, lazily.

    Raises:
      UsageError: no such path, or a kind of file that is not read.
      CheckpointError: truncated, malformed, ambiguous, or it would run code.

    Example:
      >>> import numpy as np
      >>> open_checkpoint({"a.weight": np.zeros((3, 5), np.float32)}).tensors["a.weight"].spec
      Spec(shape=(3, 5), dtype='float32')
    """
    if isinstance(what, Checkpoint):
        return what
    if isinstance(what, str | Path):
        path = Path(what)
        return Checkpoint(str(path), _tensors(_open_path(path, key)))
    if live.is_module(what):
        return Checkpoint(type(what).__name__, _tensors(live.module_tensors(what)), live.module_layers(what))
    if isinstance(what, Mapping):
        return Checkpoint("the state dict", _tensors(live.state_tensors(live.descend(what, key))))  # pyright: ignore[reportUnknownArgumentType]
    raise UsageError(f"a checkpoint is a path, a state dict or a torch module, got {type(what).__name__}")


Found = Mapping[str, tuple[Spec, Callable[[], Array], Hashable]]


def _tensors(found: Found) -> dict[str, SourceTensor]:
    return {name: SourceTensor(name, spec, read, storage) for name, (spec, read, storage) in found.items()}


def _open_path(path: Path, key: str | None) -> Found:
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    if path.is_dir():
        return _open_path(_inside(path), key)
    if path.suffix == ".safetensors":
        return _unkeyed(safetensors_file.tensors(path), path, key)
    if path.name.endswith(".index.json"):
        return _unkeyed(index_file.tensors(path, _open_shard), path, key)
    if path.suffix in PICKLES:
        return pickle_file.tensors(path, key)
    raise UsageError(
        f"{path}: not a kind of checkpoint that is read; expected .safetensors, .safetensors.index.json, "
        f"{', '.join(PICKLES)} or a folder that holds one"
    )


def _open_shard(path: Path) -> Found:
    return safetensors_file.tensors(path) if path.suffix == ".safetensors" else pickle_file.tensors(path, None)


def _unkeyed(found: Found, path: Path, key: str | None) -> Found:
    if key is not None:
        raise UsageError(f"{path}: --key {key} picks a state dict out of a pickle; a safetensors file holds just one")
    return found


def _inside(folder: Path) -> Path:
    """The one checkpoint of a folder: its index, else its only safetensors file."""
    for pattern in ("*.safetensors.index.json", "*.safetensors"):
        found = sorted(folder.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.name for path in found)
            raise CheckpointError(f"{folder}: holds {len(found)} checkpoints ({names}); name the one that is meant")
    raise CheckpointError(f"{folder}: holds no .safetensors file and no .safetensors.index.json")


def describe(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """Returns one record per tensor: name, shape, dtype, bytes, and the first name that shares its storage, if any."""
    first = {name: names[0] for names in checkpoint.ties() for name in names[1:]}
    return [
        {
            "name": name,
            "shape": list(tensor.spec.shape),
            "dtype": tensor.spec.dtype,
            "bytes": tensor.spec.nbytes,
            "shares_storage_with": first.get(name),
        }
        for name, tensor in checkpoint.tensors.items()
    ]


def describe_json(checkpoint: Checkpoint) -> str:
    """Returns `describe` as one JSON object."""
    return json.dumps({"checkpoint": checkpoint.origin, "tensors": describe(checkpoint)}, indent=2)
