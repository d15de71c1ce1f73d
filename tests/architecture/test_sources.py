from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGES, Import, Source, read, sources

EXAMPLE = """
import os.path
from typing import TYPE_CHECKING
from . import sibling
from ..other import thing
if TYPE_CHECKING:
    import torch
else:
    import numpy
try:
    import jax
except ImportError:
    pass
class Body:
    import optax
def later():
    import flax.nnx
    return importlib.import_module("haiku"), [__import__("equinox") for _ in ()]
"""


def test_every_form_of_import_is_seen() -> None:
    assert Source("parity/checks/example.py", EXAMPLE).imports == (
        Import("os.path", None, 2, "on import"),
        Import("typing", "TYPE_CHECKING", 3, "on import"),
        Import("parity.checks", "sibling", 4, "on import"),
        Import("parity.other", "thing", 5, "on import"),
        Import("torch", None, 7, "for types"),
        Import("numpy", None, 9, "on import"),
        Import("jax", None, 11, "on import"),
        Import("optax", None, 15, "on import"),
        Import("flax.nnx", None, 17, "when called"),
        Import("haiku", None, 18, "when called"),
        Import("equinox", None, 18, "when called"),
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_have_files(package: str) -> None:
    assert f"{package}/__init__.py" in {source.path for source in sources(package)}


def test_a_folder_without_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"^no Python file under parity/: nothing would be checked$"):
        read(tmp_path, "parity")
