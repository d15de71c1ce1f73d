"""Flax's msgpack, streamed: one nested state in one file, as `flax.serialization` reads and writes it.

The bytes around the arrays follow from the plan alone, so the file is laid out first and each piece goes to its place.
An array of more than a gigabyte is a map of flat parts, which is how Flax stays below what msgpack can count.
References: https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from weight_bridge._dtypes import numpy_dtype
from weight_bridge.blocks import Region
from weight_bridge.readers.msgpack_file import PARTS
from weight_bridge.spec import Array, Spec
from weight_bridge.writers.base import Sink, nested
from weight_bridge.writers.staging import sync_file, write_at

LARGEST = 2**30  # bytes of an array that Flax still writes as one
# Beginnings of a map, a list, a text, a blob and an extension, with a length of four bytes.
MAP, LIST, TEXT, BLOB, EXTENSION = 0xDF, 0xDD, 0xDB, 0xC6, 0xC9


@dataclass(frozen=True)
class Room:
    """Bytes left free for an array."""

    path: str
    first: int
    size: int


class MsgpackSink(Sink):
    """Writes one file.

    Args:
      at: where to write.
      specs: path → shape and dtype of everything that will be put.
      metadata: the format has no place for it.

    Raises:
      WriteError: a leaf stands where another one needs a folder.
    """

    def __init__(self, at: Path, specs: Mapping[str, Spec], metadata: Mapping[str, str]) -> None:
        del metadata
        self._at, self._specs = at, specs
        self._rooms: dict[str, list[tuple[int, int, int]]] = {}  # path → first byte of the leaf, of the file, count
        with at.open("wb") as file:
            for part in _packed(nested(specs, "msgpack"), ""):
                if isinstance(part, Room):
                    self._rooms.setdefault(part.path, []).append((part.first, file.tell(), part.size))
                    file.seek(part.size, 1)
                else:
                    file.write(part)
            file.truncate()

    def write(self, path: str, region: Region, data: Array) -> None:
        spec = self._specs[path]
        stored = np.ascontiguousarray(data, dtype=numpy_dtype(spec.dtype)).reshape(-1)
        start = int(np.ravel_multi_index([part.start for part in region], spec.shape)) if region else 0
        start *= stored.itemsize
        for first, place, size in self._rooms[path]:
            begin, end = max(start, first), min(start + stored.nbytes, first + size)
            if begin < end:
                part = stored[(begin - start) // stored.itemsize : (end - start) // stored.itemsize]
                write_at(self._at, place + begin - first, part)

    def close(self) -> None:
        sync_file(self._at)


def _packed(node: Any, path: str) -> Iterator[bytes | Room]:
    """A state as bytes, with room for the arrays."""
    if not isinstance(node, Spec):
        entries = cast("dict[str, Any]", node)
        yield _head(MAP, len(entries))
        for key, value in entries.items():
            yield _text(key)
            yield from _packed(value, f"{path}/{key}" if path else key)
    elif node.nbytes > LARGEST:
        yield from _parts(node, path)
    else:
        yield from _array(node.shape, node.dtype, Room(path, 0, node.nbytes))


def _parts(spec: Spec, path: str) -> Iterator[bytes | Room]:
    count = LARGEST // numpy_dtype(spec.dtype).itemsize
    firsts = range(0, spec.size, count)
    yield _head(MAP, 3) + _text(PARTS) + b"\xc3" + _text("shape") + _head(MAP, len(spec.shape))
    for axis, extent in enumerate(spec.shape):
        yield _text(str(axis)) + _count(extent)
    yield _text("chunks") + _head(MAP, len(firsts))
    for number, first in enumerate(firsts):
        size = min(count, spec.size - first)
        width = numpy_dtype(spec.dtype).itemsize
        yield _text(str(number))
        yield from _array((size,), spec.dtype, Room(path, first * width, size * width))


def _array(shape: tuple[int, ...], dtype: str, room: Room) -> Iterator[bytes | Room]:
    """An extension object of type 1 with shape, dtype and the array's bytes."""
    inner = _head(LIST, 3) + _head(LIST, len(shape)) + b"".join(map(_count, shape)) + _text(dtype)
    inner += _head(BLOB, room.size)
    yield _head(EXTENSION, len(inner) + room.size) + b"\x01" + inner
    yield room


def _head(kind: int, length: int) -> bytes:
    return struct.pack(">BI", kind, length)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _head(TEXT, len(encoded)) + encoded


def _count(number: int) -> bytes:
    return struct.pack(">BQ", 0xCF, number)
