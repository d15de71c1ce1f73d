"""Flax's msgpack: one nested state in one file, as `flax.serialization` reads and writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np

from weight_bridge.spec import Array, Spec
from weight_bridge.tree import nest
from weight_bridge.writers.staging import sync_file


class MsgpackSink:
    """Collects the arrays and writes them at the end: the format cannot be streamed.

    Args:
      at: where to write.
      specs: not needed by the format.
      metadata: the format has no place for it.
    """

    def __init__(self, at: Path, specs: Mapping[str, Spec], metadata: Mapping[str, str]) -> None:
        del specs, metadata
        self._at = at
        self._arrays: dict[str, Array] = {}

    def put(self, path: str, array: Array) -> None:
        """Keeps one array."""
        self._arrays[path] = np.array(array)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is not None:
            return
        from flax import serialization

        self._at.write_bytes(serialization.msgpack_serialize(nest(self._arrays)))
        sync_file(self._at)
