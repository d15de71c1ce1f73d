"""Files that a run is to leave: refused before it where they could not be written, and written whole or not at all."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from parity._errors import UsageError


def require_file(path: Path, option: str) -> None:
    """Refuses a file that could not be written; nothing is left of the attempt.

    Args:
      path: where to.
      option: that names it on the command line.

    Raises:
      UsageError: with the path and the reason.
    """
    try:
        if path.is_dir():
            raise UsageError(f"{option} {path}: that is a folder; name a file in it")
        if not path.parent.is_dir():
            raise UsageError(f"{option} {path}: {_no_folder(path.parent)}")
        _try(path)
    except OSError as error:
        raise UsageError(f"{option} {path}: cannot be written: {error.strerror}") from error


def require_folder(folder: Path, option: str, names: tuple[str, ...]) -> None:
    """Refuses a folder in which these files could not be written; it need not be there, and is not made.

    Args:
      folder: where to.
      option: that names it on the command line.
      names: of the files.

    Raises:
      UsageError: with the path and the reason.
    """
    try:
        if folder.is_dir():
            for name in names:
                require_file(folder / name, option)
            return
        missing = folder.absolute()
        while not os.path.lexists(missing.parent):
            missing = missing.parent
        taken = next((path for path in (missing, missing.parent) if os.path.lexists(path) and not path.is_dir()), None)
        if taken is not None:
            raise UsageError(f"{option} {folder}: {taken} is a file; name a folder")
        _try(missing)
    except OSError as error:
        raise UsageError(f"{option} {folder}: cannot be made: {error.strerror}") from error


def require_html(option: str) -> None:
    """Refuses a page that could not be rendered.

    Raises:
      UsageError: jinja2 is not installed; says how to install it.
    """
    if find_spec("jinja2") is None:
        raise UsageError(f"{option} needs jinja2: pip install 'crossparity[report]'")


def write_text(path: Path, text: str) -> None:
    """Writes one file under its name only when it is whole; what is no file, such as a pipe, as it goes.

    Raises:
      UsageError: it cannot be written; what was there stays.
    """
    try:
        if _is_no_file(path):
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path.resolve(), text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


def _replace(place: Path, text: str) -> None:
    """Writes beside a file's place, then takes the place."""
    beside = _beside(place)
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)


def _try(path: Path) -> None:
    """Opens what `write_text` opens, and leaves nothing of it."""
    if _is_no_file(path):
        return
    place = path.resolve()
    if place.exists():
        place.open("ab").close()
    beside = _beside(place)
    beside.open("wb").close()
    beside.unlink()


def _is_no_file(path: Path) -> bool:
    """Whether something else goes by this name, such as a terminal or a pipe."""
    return path.exists() and not path.is_file()


def _beside(place: Path) -> Path:
    """The name under which a file grows."""
    return place.with_name(f".{place.name}.{os.getpid()}.partial")


def _no_folder(path: Path) -> str:
    """Why a file has no folder to lie in."""
    return f"{path} is a file; name a folder" if path.exists() else f"there is no folder {path}; make it first"
