"""An Orbax checkpoint, streamed: Orbax writes the tree, TensorStore the arrays, piece by piece.

`orbax.checkpoint.PyTreeCheckpointer` reads it like its own. Orbax itself would hold every array in memory at once, so
it saves one byte for each leaf, and the arrays then take their places in its store.
References: https://orbax.readthedocs.io, https://google.github.io/tensorstore/kvstore/ocdbt
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from weight_bridge._dtypes import numpy_dtype
from weight_bridge._errors import UsageError, WriteError
from weight_bridge.blocks import Region, piece_shape
from weight_bridge.readers.orbax_folder import store
from weight_bridge.spec import Array, Spec
from weight_bridge.tree import nest
from weight_bridge.writers.base import Sink, nested
from weight_bridge.writers.staging import sync_file


class OrbaxSink(Sink):
    """Writes one folder.

    Args:
      at: the folder to make.
      specs: path → shape and dtype of everything that will be put.
      metadata: the format has no place for it.

    Raises:
      UsageError: Orbax is not installed.
      WriteError: a leaf without elements, which Orbax does not store, or one that stands above others.
    """

    piece = 1 << 25

    def __init__(self, at: Path, specs: Mapping[str, Spec], metadata: Mapping[str, str]) -> None:
        del metadata
        if find_spec("orbax") is None:
            raise UsageError("--format orbax needs Orbax: pip install 'crossparity[orbax]'")
        nested(specs, "Orbax")
        if empty := [f"{path}: {spec}" for path, spec in specs.items() if not spec.size]:
            raise WriteError("Orbax stores no leaf without elements; write another format", empty)
        import orbax.checkpoint as ocp

        self._at, self._arrays = at, dict[str, Any]()
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(at.absolute(), nest(dict.fromkeys(specs, np.zeros(1, np.uint8))))
        for path, spec in specs.items():
            self._arrays[path] = store(at, path.replace("/", "."), create=_layout(spec, self.piece))

    def write(self, path: str, region: Region, data: Array) -> None:
        self._arrays[path][region].write(data).result()

    def close(self) -> None:
        for path in self._at.rglob("*"):
            if path.is_file():
                sync_file(path)


def _layout(spec: Spec, piece: int) -> dict[str, Any]:
    """How the array is stored: as Orbax has it, but in pieces, and as it is, because weights hardly compress."""
    chunks = piece_shape(spec.shape, numpy_dtype(spec.dtype).itemsize, piece)
    return {
        "dtype": spec.dtype,
        "metadata": {"shape": list(spec.shape), "chunks": list(chunks), "compressor": None},
        "create": True,
        "delete_existing": True,
    }
