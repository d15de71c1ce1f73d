"""Safetensors in several files of a bounded size, and the index that says which file holds which leaf."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from weight_bridge.blocks import Region
from weight_bridge.spec import Array, Spec
from weight_bridge.writers.base import Sink
from weight_bridge.writers.safetensors_file import SafetensorsSink
from weight_bridge.writers.staging import sync_file


class SafetensorsFolderSink(Sink):
    """Writes `model-00001-of-00003.safetensors`, … and `model.safetensors.index.json` into a new folder.

    Args:
      at: the folder to make.
      specs: name → shape and dtype of everything that will be put.
      metadata: free text for the headers and the index.
      shard: bytes that a file takes at most, unless one leaf alone has more.

    Raises:
      WriteError: a dtype that the format has no code for; all are listed.
    """

    def __init__(self, at: Path, specs: Mapping[str, Spec], metadata: Mapping[str, str], *, shard: int) -> None:
        at.mkdir()
        groups = _grouped(specs, shard)
        self._sinks: dict[str, SafetensorsSink] = {}
        weight_map: dict[str, str] = {}
        for number, group in enumerate(groups, 1):
            file = f"model-{number:05}-of-{len(groups):05}.safetensors"
            sink = SafetensorsSink(at / file, group, metadata)
            self._sinks |= dict.fromkeys(group, sink)
            weight_map |= dict.fromkeys(group, file)
        size = sum(spec.nbytes for spec in specs.values())
        index = {"metadata": {"total_size": size, **metadata}, "weight_map": weight_map}
        self._index = at / "model.safetensors.index.json"
        self._index.write_text(json.dumps(index, indent=2, ensure_ascii=False), encoding="utf-8")

    def write(self, path: str, region: Region, data: Array) -> None:
        self._sinks[path].write(path, region, data)

    def close(self) -> None:
        for sink in dict.fromkeys(self._sinks.values()):
            sink.close()
        sync_file(self._index)


def _grouped(specs: Mapping[str, Spec], shard: int) -> list[dict[str, Spec]]:
    """Leaves in their order, as many to a file as fit."""
    groups: list[dict[str, Spec]] = [{}]
    size = 0
    for name, spec in specs.items():
        if groups[-1] and size + spec.nbytes > shard:
            groups.append({})
            size = 0
        groups[-1][name] = spec
        size += spec.nbytes
    return groups
