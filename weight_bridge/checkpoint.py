"""A checkpoint as lazy source tensors: headers first, bytes when asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from weight_bridge._errors import CheckpointError, UsageError
from weight_bridge.readers import index_file, live, msgpack_file, orbax_folder, pickle_file, safetensors_file
from weight_bridge.spec import Array, Spec
from weight_bridge.structure import Layer

PICKLES = (".pt", ".pth", ".bin", ".ckpt")
# What `convert` notes in the metadata of a safetensors file.
CONVERTED = {"format": "flax", "producer": "weight_bridge"}


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
      converted: whether it is known to hold leaves by path rather than torch tensors by name.
    """

    origin: str
    tensors: Mapping[str, SourceTensor]
    layers: Mapping[str, Layer] = field(default_factory=dict[str, Layer])
    converted: bool = False

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
      what: a path (`.safetensors`, `.safetensors.index.json`, a folder holding either, `.pt`/`.pth`/`.bin`; or what
        was converted before: safetensors, `.msgpack`, an Orbax folder), a state dict of torch tensors or numpy
        arrays, a `torch.nn.Module`, or a `Checkpoint`.
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
        return _open_path(Path(what), Path(what), key)
    if live.is_module(what):
        return open_module(what)
    if isinstance(what, Mapping):
        return _checkpoint("the state dict", live.state_tensors(live.descend(what, key)))
    raise UsageError(f"a checkpoint is a path, a state dict or a torch module, got {type(what).__name__}")


Found = Mapping[str, tuple[Spec, Callable[[], Array], Hashable]]


def _checkpoint(origin: str, found: Found, *, converted: bool = False) -> Checkpoint:
    strange = [f"{name!r:.80}" for name in found if not str(name).isprintable()]
    if strange:
        raise CheckpointError(f"{origin}: names that are no printable text", strange)
    tensors = {name: SourceTensor(name, spec, read, storage) for name, (spec, read, storage) in found.items()}
    return Checkpoint(origin, tensors, converted=converted)


def open_module(module: Any) -> Checkpoint:
    """Opens a live torch module; on the meta device its tensors have shapes and no elements."""
    tensors = _checkpoint(type(module).__name__, live.module_tensors(module)).tensors
    empty = {name for name, value in module.state_dict().items() if value.device.type == "meta"}
    marked = {name: replace(tensor, readable=name not in empty) for name, tensor in tensors.items()}
    return Checkpoint(type(module).__name__, marked, live.module_layers(module))


def open_path(path: Path, *, suffix: str) -> Checkpoint:
    """Opens a file or folder as the kind that a suffix says, whatever its own name; none says an Orbax folder."""
    if not suffix:
        return _checkpoint(str(path), orbax_folder.tensors(path), converted=True)
    return _open_path(path, path, None) if path.is_dir() else _open_file(path, path, suffix, None)


def _open_path(origin: Path, path: Path, key: str | None) -> Checkpoint:
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    try:
        if path.is_dir():
            orbax = orbax_folder.inside(path)
            return open_path(orbax, suffix="") if orbax else _open_path(origin, _inside(path), key)
        return _open_file(origin, path, path.suffix, key)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None


def _open_file(origin: Path, path: Path, suffix: str, key: str | None) -> Checkpoint:
    if not path.is_file():
        raise UsageError(f"{path}: not a file that can be read from any place in it")
    if suffix in PICKLES:
        return _checkpoint(str(origin), pickle_file.tensors(path, key))
    if key is not None and suffix in {".safetensors", ".json", ".msgpack"}:
        raise UsageError(f"{path}: --key {key} picks a state dict out of a pickle; this file holds just one")
    if suffix == ".safetensors":
        found, metadata = safetensors_file.contents(path)
        return _checkpoint(str(origin), found, converted=_ours(metadata))
    if suffix == ".json" and path.name.endswith(".index.json"):
        found, metadata = index_file.contents(path, _open_shard)
        return _checkpoint(str(origin), found, converted=_ours(metadata))
    if suffix == ".msgpack":
        return _checkpoint(str(origin), msgpack_file.tensors(path), converted=True)
    raise UsageError(
        f"{path}: not a kind of checkpoint that is read; expected .safetensors, .safetensors.index.json, "
        f"{', '.join(PICKLES)}, .msgpack or a folder that holds one"
    )


def _ours(metadata: Mapping[str, Any]) -> bool:
    """Whether metadata says that a file holds leaves by path."""
    return all(metadata.get(key) == value for key, value in CONVERTED.items())


def _open_shard(path: Path) -> Found:
    return safetensors_file.tensors(path) if path.suffix == ".safetensors" else pickle_file.tensors(path, None)


def _inside(folder: Path) -> Path:
    """The one checkpoint of a folder: its index, else its only safetensors or msgpack file."""
    for pattern in ("*.safetensors.index.json", "*.safetensors", "*.bin.index.json", "*.msgpack"):
        found = sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.name for path in found)
            raise CheckpointError(f"{folder}: holds {len(found)} checkpoints ({names}); name the one that is meant")
    raise CheckpointError(
        f"{folder}: holds no .safetensors file, no .safetensors.index.json, no .msgpack file and no Orbax checkpoint"
    )


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
