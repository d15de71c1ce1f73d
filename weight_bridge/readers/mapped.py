"""A file's bytes as arrays: mapped, not read; and given back to the system when an array is no longer used."""

from __future__ import annotations

import mmap
import weakref
from collections.abc import Callable, Hashable
from pathlib import Path

import numpy as np

from weight_bridge._dtypes import numpy_dtype
from weight_bridge.spec import Array, Spec

Entry = tuple[Spec, Callable[[], Array], Hashable]


class MappedFile:
    """Read-only memory that shows a file.

    Args:
      path: a file that is not empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self.memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def entry(self, spec: Spec, begin: int) -> Entry:
        """Returns what a reader returns for the array that starts at a byte."""
        return spec, lambda: self.array(spec, begin), (str(self.path), begin, spec) if spec.nbytes else None

    def array(self, spec: Spec, begin: int) -> Array:
        """Returns the array that starts at a byte, a view; its pages leave the memory together with it."""
        if not spec.nbytes:
            return np.empty(spec.shape, numpy_dtype(spec.dtype))
        raw = np.frombuffer(self.memory, np.uint8, spec.nbytes, begin)
        if hasattr(mmap, "MADV_DONTNEED"):
            weakref.finalize(raw, _forget, self.memory, begin, spec.nbytes).atexit = False
        return raw.view(numpy_dtype(spec.dtype)).reshape(spec.shape)


def _forget(memory: mmap.mmap, begin: int, size: int) -> None:
    """Drops mapped pages; one that is still in use elsewhere is mapped again by the next access."""
    start = begin - begin % mmap.PAGESIZE
    memory.madvise(mmap.MADV_DONTNEED, start, begin + size - start)
