"""One file per output format. Each fills a staged place, which gets its final name once it is verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from weight_bridge._errors import UsageError
from weight_bridge.spec import Array, Spec
from weight_bridge.writers import msgpack_file, orbax_folder, safetensors_file

__all__ = ["FORMATS", "Sink", "place", "sink"]


class Sink(Protocol):
    """Takes arrays one by one, in any order, and keeps none that it need not keep."""

    def put(self, path: str, array: Array) -> None:
        """Stores one array."""
        ...

    def __enter__(self) -> Sink:
        """Opens the place."""
        ...

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        """Brings everything to the disk, unless the work has failed."""
        ...


Opener = Callable[[Path, Mapping[str, Spec], Mapping[str, str]], Sink]

FORMATS: dict[str, tuple[str, Opener]] = {
    "safetensors": (".safetensors", safetensors_file.SafetensorsSink),
    "msgpack": (".msgpack", msgpack_file.MsgpackSink),
    "orbax": ("", orbax_folder.OrbaxSink),
}


def place(out: Path, file_format: str) -> Path:
    """Returns where a format puts its output: in a folder, under the name `model`, unless a file is named.

    Example:
      >>> print(place(Path("runs/new"), "safetensors"), place(Path("a.safetensors"), "safetensors"))
      runs/new/model.safetensors a.safetensors
    """
    if file_format not in FORMATS:
        raise UsageError(f"format {file_format!r} is not known; known: {', '.join(FORMATS)}")
    suffix = FORMATS[file_format][0]
    if not suffix or out.suffix == suffix:
        return out
    if out.suffix in {known for known, _ in FORMATS.values() if known} and not out.is_dir():
        raise UsageError(f"{out}: the name says another format than {file_format}")
    return out / f"model{suffix}"


def sink(file_format: str, at: Path, specs: Mapping[str, Spec], metadata: Mapping[str, str]) -> Sink:
    """Opens a sink of a format at a staged place."""
    return FORMATS[file_format][1](at, specs, metadata)
