"""Arrays of any layout, copied and compared at the speed of memory: in blocks that fit the cache, on every core.

A transposed matrix read element by element misses the cache at almost every element. Here a block is first copied in
the order in which it is stored, into a few hundred kilobytes of compact memory, and put into its own order there.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numpy as np

from weight_bridge.spec import Array

BLOCK = 1 << 16  # elements that are put into another order at once; more make rows that the first cache cannot hold
CHUNK = 1 << 22  # bytes that one worker takes at a time
PADDING = 16  # elements beside a block's rows: extents that are powers of two would all fall on a few cache lines
WORKERS = min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

_OWN = threading.local()

Item = TypeVar("Item")
Result = TypeVar("Result")
Region = tuple[slice, ...]


def parallel(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Returns the results of all items, in order, computed by as many threads as there are cores.

    The work itself may not call this again: it would wait for the threads that it takes up.

    Example:
      >>> parallel(abs, [-1, 2, -3])
      [1, 2, 3]
    """
    items = list(items)
    if len(items) < 2 or WORKERS < 2:
        return [work(item) for item in items]
    return list(_pool(os.getpid()).map(work, items))


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of a process; one that was forked has none of its parent's."""
    return ThreadPoolExecutor(WORKERS, f"weight_bridge-{process}")


def pieces(shape: tuple[int, ...], itemsize: int, size: int = CHUNK) -> Iterator[Region]:
    """Cuts a shape into regions that follow each other in row-major order, all of one shape but for rests.

    Args:
      shape: extents.
      itemsize: bytes of an element.
      size: bytes of a piece, about.

    Returns:
      One slice per axis, for each.

    Example:
      >>> [region[0] for region in pieces((5, 3, 2), 8, size=100)]
      [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return _grid(shape, piece_shape(shape, itemsize, size))


def piece_shape(shape: tuple[int, ...], itemsize: int, size: int = CHUNK) -> tuple[int, ...]:
    """Returns the shape of the pieces: one along the outer axes, some rows of one axis, all of the inner axes."""
    steps: list[int] = []
    for extent in reversed(shape):
        steps.append(max(1, min(extent, size // itemsize)))
        itemsize *= max(1, extent)
    return tuple(reversed(steps))


def chunks(array: Array, size: int = CHUNK) -> Iterator[Array]:
    """Cuts an array into parts that follow each other in row-major order, of about `size` bytes."""
    return (array[region] for region in pieces(array.shape, array.itemsize, size))


def compact(array: Array, out: Array | None = None) -> Array:
    """Returns an array's elements in row-major order without gaps.

    Args:
      array: any layout.
      out: where to put them, of the same size; new memory unless given.

    Returns:
      The array itself where it is compact already and no place was given.
    """
    if out is None and array.flags.c_contiguous:
        return array
    found = np.empty(array.shape, array.dtype) if out is None else out.reshape(array.shape)
    thin, source = np.squeeze(bits(found)), np.squeeze(bits(array))
    if _runs(source):
        np.copyto(thin, source)
        return found
    blocks = _Blocks(source, "ours")
    for region in regions(thin.shape):
        thin[region] = blocks[region]
    return found


def room(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Returns memory of this thread to compute in, the same each time: what it held before is lost."""
    size = math.prod(shape) * dtype.itemsize
    return _kept("room", max(size, CHUNK))[:size].view(dtype).reshape(shape)


def same_bits(one: Array, other: Array) -> bool:
    """Returns whether two arrays of one shape hold the same bits.

    Example:
      >>> same_bits(np.zeros(3), np.zeros(3)), same_bits(np.array([0.0]), np.array([-0.0]))
      (True, False)
    """
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.itemsize == 16:
        return same_bits(np.real(one), np.real(other)) and same_bits(np.imag(one), np.imag(other))
    pairs = zip(chunks(bits(one)), chunks(bits(other)), strict=True)
    return all(parallel(lambda pair: same_part(*pair), pairs))


def same_part(one: Array, other: Array) -> bool:
    """Returns whether two arrays of a few megabytes hold the same bits, found by this thread alone."""
    one, other = np.squeeze(bits(one)), np.squeeze(bits(other))
    if _runs(one) and _runs(other):
        return bool(np.array_equal(one, other))
    ours, theirs = _Blocks(one, "ours"), _Blocks(other, "theirs")
    return all(bool(np.array_equal(ours[region], theirs[region])) for region in regions(one.shape))


def bits(array: Array) -> Array:
    """Returns a view on the same memory as unsigned integers, which numpy copies and compares fastest.

    Elements of 16 bytes have no such integers and stay as they are.
    """
    return array if array.dtype.itemsize == 16 else array.view(f"<u{array.dtype.itemsize}")


def regions(shape: tuple[int, ...], size: int = BLOCK) -> Iterator[Region]:
    """Cuts a shape into regions of at most `size` elements, as near to cubes as halving the longest axis gets."""
    steps = list(shape)
    while math.prod(steps) > size:
        axis = max(range(len(steps)), key=steps.__getitem__)
        steps[axis] = (steps[axis] + 1) // 2
    return _grid(shape, steps)


def _grid(shape: Sequence[int], steps: Sequence[int]) -> Iterator[Region]:
    """The regions of a shape at every `steps[axis]` elements along an axis, in row-major order."""
    if not math.prod(shape):
        return iter(())
    cuts = [
        [slice(at, min(at + step, extent)) for at in range(0, extent, step)]
        for extent, step in zip(shape, steps, strict=True)
    ]
    return itertools.product(*cuts)


class _Blocks:
    """An array's blocks, each read in the order in which it is stored, into compact memory that the next one takes.

    Args:
      array: any layout.
      name: of the memory that this thread keeps for it.
    """

    def __init__(self, array: Array, name: str) -> None:
        self._array, self._runs = array, _runs(array)
        self._order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
        self._memory = _kept(name, BLOCK * (PADDING + 1) * array.itemsize).view(array.dtype)
        self._rooms: dict[tuple[int, ...], Array] = {}

    def __getitem__(self, region: Region) -> Array:
        block = self._array[region]
        if self._runs:
            return block
        room = self._rooms.get(block.shape)
        if room is None:
            room = self._rooms[block.shape] = self._room(block)
        np.copyto(room, block)
        return room

    def _room(self, block: Array) -> Array:
        """Memory for a block of this shape, in the order in which it is stored, its rows padded."""
        turned = block.transpose(self._order)
        joined = block.ndim - 1  # the axes from here on are one run in memory
        while joined and turned.strides[joined - 1] == turned.shape[joined] * turned.strides[joined]:
            joined -= 1
        outer, row = turned.shape[:joined], math.prod(turned.shape[joined:])
        room = self._memory[: math.prod(outer) * (row + PADDING)].reshape(*outer, row + PADDING)[..., :row]
        return room.reshape(turned.shape).transpose(np.argsort(self._order))


def _runs(array: Array) -> bool:
    """Whether the last axis is stored element after element."""
    return array.ndim == 0 or abs(array.strides[-1]) == array.itemsize


def _kept(name: str, size: int) -> Array:
    """At least so many bytes, which this thread keeps under a name: fresh memory costs as much as filling it."""
    found: Array | None = getattr(_OWN, name, None)
    if found is None or found.size < size:
        found = np.empty(size, np.uint8)
        setattr(_OWN, name, found)
    return found
