"""The command that shows a failure again, from the same folder in another process."""

from __future__ import annotations

import os
import shlex
import site
import sys
from pathlib import Path
from types import ModuleType

from parity.pair import Pair


def command(
    address: str, candidate: str, *, examples: int, precision: str, device: str, seed: int, checks: str | None = None
) -> str:
    """The command line of one exploration; everything that it draws follows from these.

    Args:
      address: `package.module:PAIR`.
      candidate: name of one of its candidates.
      examples: how many.
      precision: floating format.
      device: where the candidate runs.
      seed: of everything drawn.
      checks: as given to `--checks`; None for the pair's own.

    Returns:
      One line for a shell.

    Example:
      >>> how = {"examples": 25, "precision": "float64", "device": "cpu", "seed": 0}
      >>> print(command("mine:NET", "nnx", checks="loop, dtypes", **how))
      python -m parity check mine:NET --candidate nnx --examples 25 --precision float64 --device cpu --seed 0
      --checks 'loop, dtypes'
    """
    words = ["--candidate", candidate, "--examples", str(examples), "--precision", precision, "--device", device]
    words += ["--seed", str(seed), *(("--checks", checks) if checks else ())]
    folder = _folder(address)
    start = f"PYTHONPATH={shlex.quote(folder)} " if folder else ""
    return start + shlex.join(["python", "-m", "parity", "check", address, *words])


def address(pair: Pair) -> str:
    """`package.module:NAME` of a pair that some imported module holds, else its name.

    A module that any process finds from this folder comes before one that pytest alone has found.
    """
    held = [
        f"{module_name}:{name}"
        for module_name, module in list(sys.modules.items())
        for name, value in list(getattr(module, "__dict__", {}).items())
        if value is pair
    ]
    return min(held, key=lambda found: _folder(found) is not None, default=pair.name)


def _folder(address: str) -> str | None:
    """The folder to look for a module in; None where a fresh process looks there by itself."""
    root = _root(sys.modules.get(address.partition(":")[0]))
    known = Path.cwd(), *map(Path, (*_installed(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    if root is None or root in (folder.resolve() for folder in known):
        return None
    return os.path.relpath(root) if root.is_relative_to(Path.cwd()) else str(root)


def _root(module: ModuleType | None) -> Path | None:
    """The folder in which a module is found by its name; None where its file is called otherwise."""
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return None
    path = Path(file).resolve().with_suffix("")
    parts = (path.parent if path.name == "__init__" else path).parts
    named = tuple(module.__name__.split("."))
    return Path(*parts[: -len(named)]) if parts[-len(named) :] == named else None


def _installed() -> list[str]:
    """Folders of installed packages."""
    return [*site.getsitepackages(), site.getusersitepackages()]
