"""`__all__` is the whole public surface of a package, and nothing in it is missing."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.architecture.sources import ROOT, SHIPPED, refuse


def surface_problems(module: ModuleType) -> Iterator[str]:
    """Names in `__all__` that the module lacks or repeats, and public names that it leaves out."""
    listed = getattr(module, "__all__", None)
    if listed is None:
        yield f"{module.__name__} has no __all__"
        return
    yield from (f"{module.__name__}.__all__ lists {name} twice" for name in set(listed) if listed.count(name) > 1)
    yield from (f"{module.__name__}.{name} is listed and missing" for name in listed if not hasattr(module, name))
    present = {name for name in dir(module) if not name.startswith("_") and _is_own(module, name)}
    yield from (f"{module.__name__}.{name} is public and not listed" for name in sorted(present - set(listed)))


def _is_own(module: ModuleType, name: str) -> bool:
    """Whether a name is the package's to offer: not a submodule, and not something of the standard library."""
    value = getattr(module, name)
    home = getattr(value, "__module__", None) or "a plain value"
    return (
        not isinstance(value, ModuleType)
        and home.split(".")[0] not in sys.stdlib_module_names
        and name != "TYPE_CHECKING"
    )


@pytest.mark.parametrize("package", SHIPPED)
def test_all_is_the_public_surface(package: str) -> None:
    refuse(surface_problems(importlib.import_module(package)))


@pytest.mark.parametrize("package", SHIPPED)
def test_types_are_shipped(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_what_is_wrong_with_a_surface_is_found() -> None:
    module = ModuleType("bad")
    module.__dict__.update(__all__=["gone", "twice", "twice"], twice=1, extra=2, _private=3, Path=Path, os=os)
    assert list(surface_problems(module)) == [
        "bad.__all__ lists twice twice",
        "bad.gone is listed and missing",
        "bad.extra is public and not listed",
    ]
    assert list(surface_problems(ModuleType("bare"))) == ["bare has no __all__"]
