"""A checkpoint as lazy source tensors: headers first, bytes when asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from weight_bridge._errors import CheckpointError, UsageError
from weight_bridge.readers import converted, index_file, live, pickle_file, safetensors_file
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
      readable: whether there are elements; a module on the meta device has none.
    """

    name: str
    spec: Spec
    read: Callable[[], Array]
    storage: Hashable = None
    readable: bool = True


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
        return open_module(what)
    if isinstance(what, Mapping):
        return Checkpoint("the state dict", _tensors(live.state_tensors(live.descend(what, key))))
    raise UsageError(f"a checkpoint is a path, a state dict or a torch module, got {type(what).__name__}")


Found = Mapping[str, tuple[Spec, Callable[[], Array], Hashable]]


def _tensors(found: Found) -> dict[str, SourceTensor]:
    return {name: SourceTensor(name, spec, read, storage) for name, (spec, read, storage) in found.items()}


def open_module(module: Any) -> Checkpoint:
    """Opens a live torch module; on the meta device its tensors have shapes and no elements."""
    tensors = _tensors(live.module_tensors(module))
    empty = {name for name, value in module.state_dict().items() if value.device.type == "meta"}
    marked = {name: replace(tensor, readable=name not in empty) for name, tensor in tensors.items()}
    return Checkpoint(type(module).__name__, marked, live.module_layers(module))


def open_path(path: Path, *, suffix: str) -> Checkpoint:
    """Opens a file as the kind that a suffix says, whatever its own name."""
    return Checkpoint(str(path), _tensors(_open_file(path, suffix, None)))


def open_converted(path: Path, file_format: str | None = None) -> Checkpoint:
    """Opens a converted state: safetensors, Flax msgpack or an Orbax folder, found out unless said.

    Args:
      path: the file or folder.
      file_format: `safetensors`, `msgpack` or `orbax`.

    Raises:
      UsageError: no such path.
      CheckpointError: it cannot be read.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    if file_format == "orbax" or (file_format is None and path.is_dir() and converted.is_orbax(path)):
        return Checkpoint(str(path), _tensors(converted.orbax_tensors(path)))
    if path.is_dir() and (path / "model.msgpack").exists():
        path = path / "model.msgpack"
    if file_format == "msgpack" or path.suffix == ".msgpack":
        return Checkpoint(str(path), _tensors(converted.msgpack_tensors(path)))
    return Checkpoint(str(path), _tensors(safetensors_file.tensors(path) if file_format else _open_path(path, None)))


def _open_path(path: Path, key: str | None) -> Found:
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    if path.is_dir():
        return _open_path(_inside(path), key)
    try:
        return _open_file(path, path.suffix, key)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None


def _open_file(path: Path, suffix: str, key: str | None) -> Found:
    if suffix == ".safetensors":
        return _unkeyed(safetensors_file.tensors(path), path, key)
    if path.name.endswith(".index.json"):
        return _unkeyed(index_file.tensors(path, _open_shard), path, key)
    if suffix in PICKLES:
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
