"""One file per output format. Each fills a staged place, which gets its final name once it is verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from weight_bridge._errors import UsageError
from weight_bridge.spec import Spec
from weight_bridge.writers import msgpack_file, orbax_folder, safetensors_file, safetensors_folder
from weight_bridge.writers.base import Sink

__all__ = ["FORMATS", "SHARD", "Output", "Sink", "output"]

SHARD = 5_000_000_000  # bytes of a safetensors file above which a folder of several is written


@dataclass(frozen=True)
class Output:
    """Where a state goes, and in what form.

    Args:
      place: the final file or folder.
      suffix: what says the form to a reader, whatever the name; none says an Orbax folder.
      open: opens a sink at a staged place, for these leaves and with this free metadata.
    """

    place: Path
    suffix: str
    open: Callable[[Path, Mapping[str, Spec], Mapping[str, str]], Sink]


FORMATS: dict[str, tuple[str, Callable[..., Sink]]] = {
    "safetensors": (".safetensors", safetensors_file.SafetensorsSink),
    "msgpack": (".msgpack", msgpack_file.MsgpackSink),
    "orbax": ("", orbax_folder.OrbaxSink),
}


def output(out: Path, file_format: str, size: int = 0, shard: int = SHARD) -> Output:
    """Returns where a format puts its output: in a folder, under the name `model`, unless a file is named.

    Args:
      out: what the user named.
      file_format: `safetensors`, `msgpack` or `orbax`.
      size: bytes of all leaves.
      shard: bytes above which safetensors in a folder are several files and an index.

    Raises:
      UsageError: a format that is not known, or a name that says another one.

    Example:
      >>> print(output(Path("runs/new"), "safetensors").place, output(Path("a.safetensors"), "safetensors").place)
      runs/new/model.safetensors a.safetensors
    """
    if file_format not in FORMATS:
        raise UsageError(f"format {file_format!r} is not known; known: {', '.join(FORMATS)}")
    suffix, sink = FORMATS[file_format]
    if not suffix or out.suffix == suffix:
        return Output(out, suffix, sink)
    if out.suffix[1:].isalpha() and not out.is_dir():
        raise UsageError(
            f"{out}: the name says another format than {file_format}, which is a file {suffix}, or a folder that holds "
            f"it; make a folder of this name first if that is meant"
        )
    if file_format == "safetensors" and size > shard:
        return Output(out, suffix, lambda *of: safetensors_folder.SafetensorsFolderSink(*of, shard=shard))
    return Output(out / f"model{suffix}", suffix, sink)
