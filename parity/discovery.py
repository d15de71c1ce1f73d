"""Pairs by address: `package.module:NAME`, and the modules that hold them."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator

from parity._errors import ParityError, UsageError
from parity.blame import in_a_line, place_of
from parity.pair import Pair


def load_pair(text: str) -> Pair:
    """The pair at `package.module:NAME`.

    Raises:
      UsageError: no such module, no such name, or no pair under it.
    """
    module_name, colon, name = text.partition(":")
    if not colon:
        raise UsageError(f"{text!r}: expected package.module:PAIR; `parity list {text}` shows the pairs of a module")
    found = dict(pairs_of(module_name))
    if name not in found:
        raise UsageError(f"{module_name} has no pair called {name!r}; it has {', '.join(found) or 'none'}")
    return found[name]


def pairs_of(module_name: str) -> Iterator[tuple[str, Pair]]:
    """Names and pairs defined in one module.

    Raises:
      UsageError: the module cannot be imported.
    """
    if not all(part.isidentifier() for part in module_name.split(".")) or module_name.endswith(".py"):
        raise UsageError(f"{module_name!r}: expected the name of a package or module, such as my.module")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except ParityError:
        raise
    except Exception as error:
        raise UsageError(_not_imported(module_name, error)) from error
    for name, value in vars(module).items():
        if isinstance(value, Pair):
            yield name, value


def all_pairs(package_name: str) -> Iterator[tuple[str, str, Pair]]:
    """(module, name, pair) of every module called `pair`, `pairs` or `pairs_*` in a package, and of the package itself.

    Raises:
      UsageError: the package cannot be imported.
    """
    for name, pair in pairs_of(package_name):
        yield package_name, name, pair
    package = sys.modules[package_name]
    for found in pkgutil.walk_packages(getattr(package, "__path__", []), f"{package_name}."):
        last = found.name.rsplit(".", 1)[-1]
        if last in ("pair", "pairs") or last.startswith("pairs_"):
            yield from ((found.name, name, pair) for name, pair in pairs_of(found.name))


def require_pairs(package_name: str) -> list[tuple[str, str, Pair]]:
    """What `all_pairs` finds.

    Raises:
      UsageError: nothing, or the package cannot be imported.
    """
    found = list(all_pairs(package_name))
    if not found:
        raise UsageError(
            f"{package_name} holds no pair: a pair is a `parity.Pair` at the top of the module itself, or of a module "
            "called pair, pairs or pairs_* inside a package"
        )
    return found


def _not_imported(module_name: str, error: Exception) -> str:
    """Why a module cannot be imported: it is not there, or something in it fails."""
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module_name}.".startswith(f"{error.name}."):
        return f"no module named {error.name!r}; run where {module_name} can be imported"
    if isinstance(error, SyntaxError):
        return f"{module_name} cannot be imported: SyntaxError: {error.msg}, at {error.filename}:{error.lineno}"
    place = place_of(error)
    return f"{module_name} cannot be imported: {in_a_line(error)}{f', at {place}' if place else ''}"
