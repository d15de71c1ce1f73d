"""Converted states in the formats that JAX programs keep: Flax's msgpack and Orbax folders, as flat arrays by path."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from weight_bridge._errors import CheckpointError
from weight_bridge.spec import Array, Spec, spec_of

Entry = tuple[Spec, Callable[[], Array], Hashable]
ORBAX_MARKS = ("_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt")


def is_orbax(folder: Path) -> bool:
    """Returns whether a folder is an Orbax checkpoint."""
    return any((folder / mark).exists() for mark in ORBAX_MARKS)


def msgpack_tensors(path: Path) -> dict[str, Entry]:
    """Returns the arrays of a Flax msgpack file; the format has to be read whole."""
    from flax import serialization

    try:
        return _flat(serialization.msgpack_restore(path.read_bytes()))
    except CheckpointError:
        raise
    except Exception as error:  # msgpack's own errors share no base class
        raise CheckpointError(f"{path}: truncated or not a Flax msgpack file: {error}") from None


def orbax_tensors(folder: Path) -> dict[str, Entry]:
    """Returns the arrays of an Orbax folder."""
    import orbax.checkpoint as ocp

    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree = checkpointer.restore(folder.absolute())
    except Exception as error:  # Orbax raises what its storage layers raise
        raise CheckpointError(f"{folder}: not a readable Orbax checkpoint: {str(error).splitlines()[0]}") from None
    return _flat(tree)


def _flat(tree: Any) -> dict[str, Entry]:
    found: dict[str, Entry] = {}

    def visit(at: tuple[str, ...], node: Any) -> None:
        if isinstance(node, Mapping):
            for key, value in cast("Mapping[str, Any]", node).items():
                visit((*at, str(key)), value)
            return
        array = np.asarray(node)
        if not at or array.dtype == object:
            raise CheckpointError(f"{'/'.join(at) or 'the state'}: a {type(node).__name__}, expected an array")
        found["/".join(at)] = (spec_of(array), lambda: array, None)

    visit((), tree)
    return found
