"""Atomic appearance: written beside its place under a hidden name, renamed when it is proved complete."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from weight_bridge._errors import WriteError
from weight_bridge.spec import Array

PARTIAL = ".partial"
FLUSH = 1 << 27  # bytes of a file that wait before they are brought to the disk
_WRITING = threading.Lock()
# What a file system says that gives no room ahead; a full disk is no such case.
_CANNOT_RESERVE = {errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS}


@dataclass
class Stage:
    """A hidden place beside the final one."""

    out: Path
    at: Path
    committed: bool = False

    def commit(self) -> None:
        """Gives the output its name, in one step, and makes the name durable."""
        if self.out.is_dir() and any(self.out.iterdir()):
            raise WriteError(f"{self.out}: a folder with content is there already; name another place")
        if self.at.is_dir():
            _sync_folder(self.at)
        self.at.replace(self.out)
        _sync_folder(self.out.parent)
        self.committed = True


@contextlib.contextmanager
def staged(out: Path, size: int = 0) -> Generator[Stage]:
    """Offers a hidden place for an output; whatever goes wrong, the folder ends as it was.

    Args:
      out: the final path, whose folder is made if need be.
      size: bytes that it will take, as far as known: a disk that cannot hold them is refused at once.

    Yields:
      The stage; what stands at `stage.at` when `stage.commit()` is called becomes `out`.

    Raises:
      WriteError: the place cannot be written: read-only, full, or taken by a folder.
    """
    made = _made_folders(out)
    stage = Stage(out, out.with_name(f".{out.name}.{os.getpid()}{PARTIAL}"))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for stale in _abandoned(out):
            _remove(stale)
        if (free := shutil.disk_usage(out.parent).free) < size:
            raise WriteError(f"{out}: needs {size} bytes, the disk has {free}; nothing was left behind")
        yield stage
    except OSError as error:
        raise WriteError(f"{out}: cannot be written: {error.strerror or error}; nothing was left behind") from error
    finally:
        if not stage.committed:
            _remove(stage.at)
            for folder in made:
                with contextlib.suppress(OSError):
                    folder.rmdir()


def sync_file(path: Path) -> None:
    """Brings a file's content to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def reserve(file: BinaryIO, size: int) -> None:
    """Gives a file its size and the disk's room for it; writing waits for a disk that looks for room piece by piece."""
    if hasattr(os, "posix_fallocate"):  # macOS has none
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise
    file.truncate(size)


class Flusher:
    """Brings a growing file to the disk while it grows, so that the end need not wait for all of it.

    Args:
      at: the file.
    """

    def __init__(self, at: Path) -> None:
        self._at, self._waiting = at, 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._failure: OSError | None = None

    def wrote(self, count: int) -> None:
        """Takes note of so many new bytes, from any thread."""
        with self._lock:
            self._waiting += count
            if self._waiting < FLUSH or (self._thread is not None and self._thread.is_alive()):
                return
            self._waiting = 0
            self._thread = threading.Thread(target=self._flush, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Waits until everything is on the disk; a failure of the disk is raised here."""
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure
        sync_file(self._at)

    def _flush(self) -> None:
        try:
            sync_file(self._at)
        except OSError as failure:  # the system tells it once
            self._failure = failure


def write_at(at: Path, position: int, array: Array) -> None:
    """Writes an array's bytes at a position of a file, from any thread.

    One at a time: a file takes one writer, and for that the system lets the others spin rather than work.
    """
    data = array.reshape(-1).view(np.uint8).data
    with _WRITING, at.open("r+b", buffering=0) as file:
        file.seek(position)
        while data:
            data = data[file.write(data) :]


def _made_folders(out: Path) -> list[Path]:
    """Folders that have to be made for the output, innermost first."""
    missing: list[Path] = []
    folder = out.parent
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    return missing


def _abandoned(out: Path) -> list[Path]:
    """Partial outputs of runs that were killed: their process is gone."""
    found: list[Path] = []
    for path in out.parent.glob(f".{_escaped(out.name)}.*{PARTIAL}"):
        process = path.name[len(out.name) + 2 : -len(PARTIAL)]
        if process.isdigit() and not _runs(int(process)):
            found.append(path)
    return found


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
