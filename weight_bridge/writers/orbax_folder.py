"""An Orbax checkpoint: one folder with the nested state, as `orbax.checkpoint.PyTreeCheckpointer` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import numpy as np

from weight_bridge._errors import UsageError
from weight_bridge.spec import Array, Spec
from weight_bridge.tree import nest


class OrbaxSink:
    """Collects the arrays and writes them at the end.

    Args:
      at: the folder to write.
      specs: not needed by the format.
      metadata: the format has no place for it.

    Raises:
      UsageError: Orbax is not installed.
    """

    def __init__(self, at: Path, specs: Mapping[str, Spec], metadata: Mapping[str, str]) -> None:
        del specs, metadata
        if find_spec("orbax") is None:  # found missing now, not after the work is done
            raise UsageError("--format orbax needs Orbax: pip install 'crossparity[orbax]'")
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
        import orbax.checkpoint as ocp

        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(self._at.absolute(), nest(self._arrays))
