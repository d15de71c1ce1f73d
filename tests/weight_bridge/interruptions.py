"""Conversions that are killed, run out of disk, or may not write; prints what was left behind as JSON.

Run as `python -m tests.weight_bridge.interruptions FOLDER MOMENTS`, inside `unshare --mount` where
disks of its own are to be mounted. Children are forked before any thread is started, so that each costs milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import weight_bridge
from weight_bridge.checkpoint import open_checkpoint
from weight_bridge.conversion import convert_file

COUNT, SIDE = 24, 256
NAME = "x.safetensors"


def converted(folder: Path, progress: Callable[[int], None] = lambda _: None, file_format: str = "safetensors") -> None:
    """Converts a checkpoint of 6 MB."""
    state = {f"layers.{i}.weight": np.full((SIDE, SIDE), i, np.float32) for i in range(COUNT)}
    target = {"layers": {str(i): {"kernel": np.zeros((SIDE, SIDE), np.float32)} for i in range(COUNT)}}
    checkpoint = open_checkpoint(state)
    decided = weight_bridge.plan(checkpoint, target)
    out = (folder / NAME).with_suffix(f".{file_format}")
    convert_file(decided, checkpoint, out, file_format=file_format, progress=progress)


def forked(run: Callable[[], None]) -> int:
    """The process of a child that does one thing; its exit status is 0 if that returned, 3 if it was refused."""
    if child := os.fork():
        return child
    status = 1
    try:
        run()
        status = 0
    except weight_bridge.WriteError as refused:
        (Path(sys.argv[1]) / "said").write_text(str(refused))
        status = 3
    finally:
        os._exit(status)


def status(child: int) -> int:
    """How a child ended: its exit status, or the negative signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def listing(folder: Path) -> dict[str, int]:
    """Names and sizes of what a folder holds."""
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def killed(folder: Path, moments: int) -> list[dict[str, Any]]:
    """What is left after kills spread over a conversion, and after the run that follows each."""
    (folder / "whole").mkdir()
    durations: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        assert status(forked(lambda: converted(folder / "whole"))) == 0
        durations.append(time.perf_counter() - start)
    duration, whole = min(durations), (folder / "whole" / NAME).read_bytes()
    found: list[dict[str, Any]] = []
    for moment in range(moments):
        place = folder / f"killed{moment}"
        place.mkdir()
        child = forked(lambda place=place: converted(place))
        time.sleep(duration * moment / moments)
        os.kill(child, signal.SIGKILL)
        ended, left = status(child), listing(place)
        finished = NAME in left and (place / NAME).read_bytes() == whole
        again = status(forked(lambda place=place: converted(place)))
        right = (place / NAME).read_bytes() == whole
        found.append(
            {"ended": ended, "left": left, "whole": finished, "again": again, "after": listing(place), "right": right}
        )
    return found


def mounted(*arguments: str) -> bool:
    """Whether something could be mounted."""
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


def full(folder: Path) -> dict[str, Any] | None:
    """A disk full from the start, one that others fill meanwhile, and one where that comes too late, as room was taken.

    None where no disk can be mounted.
    """
    results: dict[str, Any] = {}
    for name, size, file_format in (
        ("small", "1m", "safetensors"),
        ("filling", "9m", "msgpack"),
        ("reserved", "9m", "safetensors"),
    ):
        disk = folder / name
        disk.mkdir()
        if not mounted("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)):
            return None

        def fill(_: int, disk: Path = disk) -> None:
            with contextlib.suppress(OSError):
                (disk / "other").write_bytes(bytes(16 * 2**20))

        child = forked(lambda disk=disk, fill=fill, form=file_format: converted(disk, fill, form))
        results[name] = {"ended": status(child), "left": listing(disk), "said": (folder / "said").read_text()}
    return results


def read_only(folder: Path) -> dict[str, Any] | None:
    """A folder that may not be written, not even by root; None where none can be made."""
    place = folder / "sealed"
    place.mkdir()
    if not (mounted("--bind", str(place), str(place)) and mounted("-o", "remount,ro,bind", str(place))):
        return None
    ended = status(forked(lambda: converted(place)))
    return {"ended": ended, "left": listing(place), "said": (folder / "said").read_text()}


if __name__ == "__main__":
    root, count = Path(sys.argv[1]), int(sys.argv[2])
    print(json.dumps({"killed": killed(root, count), "full": full(root), "read_only": read_only(root)}))
