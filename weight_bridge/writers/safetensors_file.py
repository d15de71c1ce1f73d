"""Safetensors, streamed: the header follows from the plan, so each piece goes to its place and is forgotten."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from weight_bridge._dtypes import SAFETENSORS, numpy_dtype
from weight_bridge._errors import WriteError
from weight_bridge.blocks import Region
from weight_bridge.spec import Array, Spec
from weight_bridge.writers.base import Sink
from weight_bridge.writers.staging import Flusher, reserve, write_at


class SafetensorsSink(Sink):
    """Writes one file.

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
        header, self._begins = _layout(specs, metadata)
        self._at, self._specs = at, specs
        self._flusher = Flusher(at)
        with at.open("wb") as file:
            file.write(header)
            reserve(file, len(header) + sum(spec.nbytes for spec in specs.values()))

    def write(self, path: str, region: Region, data: Array) -> None:
        spec = self._specs[path]
        first = np.ravel_multi_index([part.start for part in region], spec.shape) if region else 0
        stored = np.ascontiguousarray(data, dtype=numpy_dtype(spec.dtype))
        write_at(self._at, self._begins[path] + int(first) * stored.itemsize, stored)
        self._flusher.wrote(stored.nbytes)

    def close(self) -> None:
        self._flusher.close()


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
