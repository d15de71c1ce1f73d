"""Safetensors, streamed: the header follows from the plan, so each array goes to its place and is forgotten."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from weight_bridge._dtypes import SAFETENSORS, numpy_dtype
from weight_bridge._errors import WriteError
from weight_bridge.spec import Array, Spec


class SafetensorsSink:
    """Writes one file, array by array in any order.

    Args:
      at: where to write.
      specs: name → shape and dtype of everything that will be put.
      metadata: free text for the header.

    Raises:
      WriteError: a dtype that the format has no code for; all are listed.
    """

    def __init__(self, at: Path, specs: Mapping[str, Spec], metadata: Mapping[str, str]) -> None:
        if strange := [f"{name}: {spec.dtype}" for name, spec in specs.items() if spec.dtype not in SAFETENSORS]:
            raise WriteError("safetensors has no code for these dtypes; write another format or cast them", strange)
        header, self._offsets = _layout(specs, metadata)
        self._specs = specs
        self._file = at.open("wb")
        self._file.write(header)

    def put(self, path: str, array: Array) -> None:
        """Stores one array at its place."""
        spec = self._specs[path]
        stored = np.ascontiguousarray(array, dtype=numpy_dtype(spec.dtype))
        self._file.seek(self._offsets[path])
        self._file.write(stored.reshape(-1).view(np.uint8).data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if failure is None:
                self._file.flush()
                os.fsync(self._file.fileno())


def _layout(specs: Mapping[str, Spec], metadata: Mapping[str, str]) -> tuple[bytes, dict[str, int]]:
    """The header's bytes, and each array's place in the file; wide dtypes first, so that every array is aligned."""
    names = sorted(specs, key=lambda name: (-numpy_dtype(specs[name].dtype).itemsize, name))
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    begins: dict[str, int] = {}
    end = 0
    for name in names:
        spec = specs[name]
        begins[name] = end
        end += spec.nbytes
        offsets = [begins[name], end]
        entries[name] = {"dtype": SAFETENSORS[spec.dtype], "shape": list(spec.shape), "data_offsets": offsets}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    return len(text).to_bytes(8, "little") + text, {name: start + begin for name, begin in begins.items()}
