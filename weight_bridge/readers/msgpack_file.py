"""Flax's msgpack, walked without reading the arrays in it: their bytes are mapped like those of safetensors.

An array is an extension object of type 1 (3 for a scalar) that holds (shape, dtype, bytes), itself as msgpack; one of
more than a gigabyte is a map of parts. Nothing of the file is believed: each length is checked against what is left.
References: https://github.com/msgpack/msgpack/blob/master/spec.md, https://flax.readthedocs.io
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from weight_bridge._dtypes import EXTENSIONS, NATIVE
from weight_bridge._errors import CheckpointError
from weight_bridge.readers.mapped import Entry, MappedFile
from weight_bridge.spec import Array, Spec, spec_of

PARTS = "__msgpack_chunked_array__"
DEPTH, NODES = 100, 5_000_000
# First byte → bytes of the length that follows.
MAPS, LISTS = {0xDE: 2, 0xDF: 4}, {0xDC: 2, 0xDD: 4}
TEXTS, BLOBS = {0xD9: 1, 0xDA: 2, 0xDB: 4}, {0xC4: 1, 0xC5: 2, 0xC6: 4}
EXTENSION, FIXED = {0xC7: 1, 0xC8: 2, 0xC9: 4}, {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


@dataclass(frozen=True)
class Stored:
    """An array in the file: what it is and where its bytes begin."""

    spec: Spec
    begin: int


def tensors(path: Path) -> dict[str, Entry]:
    """Returns the arrays of a Flax msgpack file by `/`-joined path; their bytes are mapped, not read.

    Args:
      path: what `flax.serialization.msgpack_serialize` or `to_bytes` wrote.

    Returns:
      Path → (spec, read, storage), in file order; plain numbers are arrays without axes.

    Raises:
      CheckpointError: truncated, malformed, or holding something that is no array.
    """
    if not path.stat().st_size:
        raise CheckpointError(f"{path}: the file is empty")
    file = MappedFile(path)
    walk = _Walk(memoryview(file.memory))
    try:
        state = walk.value(0)
        if walk.at != len(walk.data):
            raise ValueError(f"{len(walk.data) - walk.at} bytes behind the end")
        found: dict[str, Entry] = {}
        for place, leaf in _leaves((), state):
            if place in found:
                raise ValueError(f"{place} is there twice")
            found[place] = _entry(file, place, leaf)
        return found
    except (ValueError, TypeError, KeyError, IndexError, struct.error) as error:
        raise CheckpointError(f"{path}: truncated or not a Flax msgpack file: {error!s:.200}") from None


class _Walk:
    """A position in msgpack data; what stands there is a Python value, or `Stored`."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0
        self.nodes = 0

    def take(self, count: int) -> int:
        """Passes over bytes and returns where they began."""
        begin = self.at
        if count > len(self.data) - begin:
            raise ValueError(f"{count} bytes are due at byte {begin}, the file has {len(self.data)}")
        self.at += count
        return begin

    def number(self, layout: str) -> Any:
        begin = self.take(struct.calcsize(layout))
        return struct.unpack_from(layout, self.data, begin)[0]

    def length(self, size: int) -> int:
        return int(self.number({1: ">B", 2: ">H", 4: ">I"}[size]))

    def value(self, depth: int) -> Any:
        """The value that begins here."""
        self.nodes += 1
        if depth > DEPTH or self.nodes > NODES:
            raise ValueError(f"nested more than {DEPTH} deep, or more than {NODES} values")
        first = self.number(">B")
        if first <= 0x7F or first >= 0xE0:
            return first if first <= 0x7F else first - 256
        if first <= 0x8F or first in MAPS:
            return self._map(self.length(MAPS[first]) if first in MAPS else first & 0x0F, depth)
        if first <= 0x9F or first in LISTS:
            count = self.length(LISTS[first]) if first in LISTS else first & 0x0F
            return [self.value(depth + 1) for _ in range(count)]
        if first <= 0xBF or first in TEXTS:
            return self._text(self.length(TEXTS[first]) if first in TEXTS else first & 0x1F)
        if first in BLOBS:
            size = self.length(BLOBS[first])
            return Stored(Spec((size,), "uint8"), self.take(size))
        if first in EXTENSION or first in FIXED:
            return self._extension(FIXED.get(first) or self.length(EXTENSION[first]), depth)
        if first not in CONSTANTS and first not in NUMBERS:
            raise ValueError(f"nothing begins with byte {first} at {self.at - 1}")
        return CONSTANTS[first] if first in CONSTANTS else self.number(NUMBERS[first])

    def _text(self, size: int) -> str:
        begin = self.take(size)
        return bytes(self.data[begin : begin + size]).decode()

    def _map(self, count: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(count):
            key = self.value(depth + 1)
            if not isinstance(key, str | int) or str(key) in found:
                raise ValueError(f"key {key!s:.80} is no name, or there twice")
            found[str(key)] = self.value(depth + 1)
        return found

    def _extension(self, size: int, depth: int) -> Any:
        code, begin = self.number(">b"), self.at
        if size > len(self.data) - begin:
            raise ValueError(f"{size} bytes are due at byte {begin}, the file has {len(self.data)}")
        content = self.value(depth + 1)
        if code not in {1, 2, 3} or self.at != begin + size:
            raise ValueError(f"an object of type {code} and {size} bytes is no array")
        return complex(*content) if code == 2 else _stored(*content)


def _stored(shape: list[int], dtype: Any, content: Stored) -> Stored:
    """An array from its shape, the name of its dtype, and its bytes."""
    name = str(dtype)
    if name not in NATIVE and name not in EXTENSIONS:
        raise ValueError(f"dtype {name!r:.80} is not known")
    if len(shape) > 64 or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"shape {shape!r:.80} is not a list of sizes")
    spec = Spec(tuple(shape), name)
    if spec.nbytes != content.spec.nbytes:
        raise ValueError(f"{spec!s:.200} takes {spec.nbytes} bytes, it has {content.spec.nbytes}")
    np.broadcast_to(np.empty((), spec.dtype if name in NATIVE else np.uint8), spec.shape)  # no more than numpy takes
    return Stored(spec, content.begin)


def _leaves(place: tuple[str, ...], node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and PARTS not in node:
        for key, value in cast("dict[str, Any]", node).items():
            yield from _leaves((*place, key), value)
    elif isinstance(node, list):
        for index, value in enumerate(cast("list[Any]", node)):
            yield from _leaves((*place, str(index)), value)
    else:
        yield "/".join(place), node


def _entry(file: MappedFile, place: str, leaf: Any) -> Entry:
    if isinstance(leaf, Stored):
        return file.entry(leaf.spec, leaf.begin)
    if isinstance(leaf, dict):
        return _joined(file, cast("dict[str, Any]", leaf))
    if not place or not isinstance(leaf, bool | int | float | complex):
        raise ValueError(f"{place or 'the state'}: a {type(leaf).__name__}, expected an array")
    array = np.asarray(leaf)
    return spec_of(array), lambda: array, None


def _joined(file: MappedFile, leaf: dict[str, Any]) -> Entry:
    """An array that was stored in parts."""
    parts = [cast("Stored", leaf["chunks"][str(index)]) for index in range(len(leaf["chunks"]))]
    shape = [leaf["shape"][str(index)] for index in range(len(leaf["shape"]))]
    dtypes = {part.spec.dtype for part in parts}
    if len(dtypes) != 1:
        raise ValueError(f"parts of dtypes {', '.join(sorted(dtypes))} make no array")
    size = sum(part.spec.nbytes for part in parts)
    whole = _stored(shape, dtypes.pop(), Stored(Spec((size,), "uint8"), 0)).spec

    def read() -> Array:
        return np.concatenate([file.array(part.spec, part.begin).reshape(-1) for part in parts]).reshape(whole.shape)

    return whole, read, (str(file.path), parts[0].begin, whole)
