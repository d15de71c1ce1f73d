"""Whose code raised: what comes of a mistake in a pair's own is told in a line, the harness's keeps its traceback."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import weight_bridge
from parity._errors import ParityError, UsageError

HARNESS = tuple(
    f"{Path(str(package.origin)).parent}{os.sep}"
    for name in ("parity", "weight_bridge")
    if (package := find_spec(name))
)
LIBRARIES = tuple(sysconfig.get_paths()[kind] for kind in ("purelib", "platlib", "stdlib"))
"""Where code lies that calls a pair's own, or is called by it."""


@contextmanager
def told_in_a_line(who: str) -> Generator[None]:
    """Turns what somebody's own code raises by mistake into a usage error.

    Args:
      who: whose code is run.

    Raises:
      UsageError: an exception that is no refusal was raised in code outside the harness and the libraries; says where.
    """
    try:
        yield
    except (ParityError, weight_bridge.WeightBridgeError):
        raise
    except Exception as error:
        place = place_of(error)
        if place is None or _by_harness(error):
            raise
        raise UsageError(
            f"{who}: {in_a_line(error)}, at {place}; a model that means to refuse a config or inputs raises ValueError"
        ) from error


def place_of(error: BaseException) -> str | None:
    """File, line and function of somebody's own code that an exception went through last, if any."""
    own = (f for f in reversed(traceback.extract_tb(error.__traceback__)) if _is_own(f.filename))
    return next((f"{frame.filename}:{frame.lineno} ({frame.name})" for frame in own), None)


def _by_harness(error: BaseException) -> bool:
    """Whether the harness raised, itself or in a library."""
    files = [frame.filename for frame in reversed(traceback.extract_tb(error.__traceback__))]
    return next((file.startswith(HARNESS) for file in files if file.startswith(HARNESS) or _is_own(file)), False)


def _is_own(file: str) -> bool:
    """Whether a file is neither the harness's nor a library's."""
    return not file.startswith((*HARNESS, *LIBRARIES, "<"))


def in_a_line(error: BaseException) -> str:
    """An exception's kind and the first line of what it says."""
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
