"""Importing a shipped package, asking for help and being loaded by pytest cost no framework."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import FRAMEWORKS, ROOT, SHIPPED

HELP = """
import runpy, sys
sys.argv = [{package!r}, "--help"]
try:
    runpy.run_module({package!r}, run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
"""

LOADED = f"""
import sys
print("loaded:", *sorted(set({FRAMEWORKS!r}) & set(sys.modules)))
"""


def loaded_by(code: str, *, folder: Path) -> tuple[set[str], str]:
    """Runs `code` in a fresh interpreter that finds modules in `folder` first: (frameworks loaded, what it printed)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-c", code + LOADED],
        cwd=folder,
        env=environment | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed, _, names = done.stdout.rpartition("loaded:")
    return set(names.split()), printed


@pytest.mark.parametrize("module", [*SHIPPED, "parity.pytest_plugin"])
def test_import_loads_no_framework(module: str) -> None:
    assert loaded_by(f"import {module}", folder=ROOT) == (set(), "")


@pytest.mark.parametrize("package", SHIPPED)
def test_help_loads_no_framework(package: str) -> None:
    loaded, printed = loaded_by(HELP.format(package=package), folder=ROOT)
    assert loaded == set()
    assert "Usage:" in printed


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_each_framework_would_be_noticed(framework: str, tmp_path: Path) -> None:
    (tmp_path / f"{framework}.py").touch()
    (tmp_path / "careless.py").write_text(f"import {framework}\n", "utf-8")
    assert loaded_by("import careless", folder=tmp_path) == ({framework}, "")


@pytest.mark.parametrize("package", SHIPPED)
def test_one_bad_line_in_the_real_package_would_be_noticed(package: str, tmp_path: Path) -> None:
    for name in SHIPPED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / package / "__init__.py").open("a", encoding="utf-8") as file:
        file.write("import torch\n")
    assert "torch" in loaded_by(f"import {package}", folder=tmp_path)[0]
    assert "torch" in loaded_by(HELP.format(package=package), folder=tmp_path)[0]
