"""An Orbax checkpoint: shapes and dtypes from its metadata, each array from its TensorStore when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from weight_bridge._dtypes import EXTENSIONS, NATIVE, dtype_name
from weight_bridge._errors import CheckpointError, UsageError
from weight_bridge.readers.mapped import Entry
from weight_bridge.spec import Array, Spec

MARK, STORE = "_METADATA", "manifest.ocdbt"


def inside(folder: Path) -> Path | None:
    """Returns the Orbax checkpoint that a folder is, or holds as its only item, or None."""
    if (folder / MARK).is_file():
        return folder
    items = sorted(mark.parent for mark in folder.glob(f"*/{MARK}"))
    return items[0] if len(items) == 1 and (folder / "_CHECKPOINT_METADATA").is_file() else None


def tensors(folder: Path) -> dict[str, Entry]:
    """Returns the arrays of an Orbax folder by `/`-joined path; none is read yet.

    Args:
      folder: what `orbax.checkpoint` wrote: a tree of arrays and numbers.

    Returns:
      Path → (spec, read, storage).

    Raises:
      UsageError: Orbax is not installed.
      CheckpointError: the folder cannot be read, or holds something that is no array.
    """
    if find_spec("orbax") is None:
        raise UsageError(f"{folder}: an Orbax checkpoint needs Orbax: pip install 'crossparity[orbax]'")
    import orbax.checkpoint as ocp

    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            found: Any = checkpointer.metadata(folder.absolute())
        tree = getattr(found, "item_metadata", found)
        leaves = dict(_leaves((), getattr(tree, "tree", tree)))
        zarr3 = bool(getattr(tree, "use_zarr3", False))
    except Exception as error:  # Orbax raises what its storage layers raise
        raise CheckpointError(f"{folder}: not a readable Orbax checkpoint: {_first_line(error)}") from None
    strange = [f"{path}: {type(leaf).__name__}, expected an array" for path, leaf in leaves.items() if not _spec(leaf)]
    if strange or not leaves:
        raise CheckpointError(f"{folder}: not a tree of arrays", strange)
    return {path: _entry(folder, leaf, zarr3=zarr3) for path, leaf in leaves.items()}


def store(folder: Path, name: str, *, zarr3: bool = False, create: Mapping[str, Any] | None = None) -> Any:
    """Opens the TensorStore of one leaf.

    Args:
      folder: the Orbax checkpoint.
      name: keys of the leaf, joined by dots.
      zarr3: the version of the array format.
      create: what else to say of an array that is to be made; one that exists is opened to be read otherwise.
    """
    import tensorstore

    base: dict[str, Any] = {"driver": "file", "path": f"{folder.absolute()}/"}
    if (folder / STORE).exists():
        place = {"driver": "ocdbt", "base": base, "path": f"{name}/"}
    else:
        place = base | {"path": f"{folder.absolute() / name}/"}
    spec = {"driver": "zarr3" if zarr3 else "zarr", "kvstore": place, **(create or {})}
    return tensorstore.open(spec, open=create is None, context=tensorstore.Context({"file_io_sync": False})).result()


def _leaves(place: tuple[str, ...], node: Any) -> Iterator[tuple[str, Any]]:
    children: Any = (
        node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else None
    )
    if children is None and node is not None:
        yield "/".join(place), node
    elif children is not None:
        for key, value in cast("list[tuple[Any, Any]]", children):
            yield from _leaves((*place, str(key)), value)


def _spec(leaf: Any) -> Spec | None:
    shape, dtype = getattr(leaf, "shape", None), dtype_name(getattr(leaf, "dtype", "none"))
    return Spec(tuple(shape), dtype) if shape is not None and (dtype in NATIVE or dtype in EXTENSIONS) else None


def _entry(folder: Path, leaf: Any, *, zarr3: bool) -> Entry:
    spec = cast("Spec", _spec(leaf))
    return spec, _reader(folder, str(leaf.name), zarr3=zarr3), None


def _reader(folder: Path, name: str, *, zarr3: bool) -> Callable[[], Array]:
    def read() -> Array:
        try:
            return store(folder, name, zarr3=zarr3).read().result()
        except Exception as error:  # TensorStore raises what its storage layers raise
            raise CheckpointError(f"{folder}: {name} cannot be read: {_first_line(error)}") from None

    return read


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
