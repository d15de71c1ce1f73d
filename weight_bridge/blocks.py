"""Arrays of any layout, copied and compared at the speed of memory: in blocks that fit the cache, on every core.

A transposed matrix read element by element misses the cache at almost every element. Here a block is first copied in
the order in which it is stored, into a few hundred kilobytes of compact memory, and put into its own order there.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numpy as np

from weight_bridge.spec import Array

BLOCK = 1 << 17  # elements that are put into another order at once
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

    Yields:
      One slice per axis.

    Example:
      >>> [region[0] for region in pieces((5, 3, 2), 8, size=100)]
      [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    if math.prod(shape):
        steps = piece_shape(shape, itemsize, size)
        for place in np.ndindex(*(-(-extent // step) for extent, step in zip(shape, steps, strict=True))):
            ends = zip(place, steps, shape, strict=True)
            yield tuple(slice(at * step, min((at + 1) * step, extent)) for at, step, extent in ends)


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
    scratch = _scratch(thin.dtype)
    for region in regions(thin.shape):
        thin[region] = _stored(source[region], scratch)
    return found


def room(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Returns memory of this thread to compute in: fresh memory costs as much as filling it.

    It is the same memory each time, so what it held before is lost.
    """
    size = math.prod(shape) * dtype.itemsize
    kept: Array | None = getattr(_OWN, "memory", None)
    if kept is None or kept.size < size:
        kept = _OWN.memory = np.empty(max(size, CHUNK), np.uint8)
    return kept[:size].view(dtype).reshape(shape)


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
    ours, theirs = _scratch(one.dtype), _scratch(other.dtype)
    return all(
        bool(np.array_equal(_stored(one[region], ours), _stored(other[region], theirs)))
        for region in regions(one.shape)
    )


def bits(array: Array) -> Array:
    """Returns a view on the same memory as unsigned integers, which numpy copies and compares fastest.

    Elements of 16 bytes have no such integers and stay as they are.
    """
    return array if array.dtype.itemsize == 16 else array.view(f"<u{array.dtype.itemsize}")


def regions(shape: tuple[int, ...], size: int = BLOCK) -> Iterator[Region]:
    """Cuts a shape into regions of at most `size` elements, as near to cubes as halving the longest axis gets."""
    stack = [tuple((0, extent) for extent in shape)]
    while stack:
        region = stack.pop()
        if math.prod(stop - start for start, stop in region) <= size:
            yield tuple(slice(*ends) for ends in region)
            continue
        axis = max(range(len(region)), key=lambda axis: region[axis][1] - region[axis][0])
        start, stop = region[axis]
        middle = (start + stop + 1) // 2
        stack += [(*region[:axis], ends, *region[axis + 1 :]) for ends in ((middle, stop), (start, middle))]


def _runs(array: Array) -> bool:
    """Whether the last axis is stored element after element."""
    return array.ndim == 0 or abs(array.strides[-1]) == array.itemsize


def _scratch(dtype: np.dtype[Any]) -> Array:
    return np.empty(BLOCK * (PADDING + 1), dtype)


def _stored(block: Array, scratch: Array) -> Array:
    """The block in compact memory, read in the order in which it is stored."""
    if _runs(block):
        return block
    order = sorted(range(block.ndim), key=lambda axis: -abs(block.strides[axis]))
    turned = block.transpose(order)
    joined = block.ndim - 1  # the axes from here on are one run in memory
    while joined and turned.strides[joined - 1] == turned.shape[joined] * turned.strides[joined]:
        joined -= 1
    outer, row = turned.shape[:joined], math.prod(turned.shape[joined:])
    room = scratch[: math.prod(outer) * (row + PADDING)].reshape(*outer, row + PADDING)[..., :row]
    room = room.reshape(turned.shape)
    np.copyto(room, turned)
    return room.transpose(np.argsort(order))
