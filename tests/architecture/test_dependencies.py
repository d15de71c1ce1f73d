"""Whatever a file imports, pyproject.toml declares: in the core where a plain install needs it, else in an extra."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions

import pytest

from tests.architecture.sources import FRAMEWORKS, PACKAGES, ROOT, SHIPPED, Import, Source, refuse, sources

FIRST_PARTY = frozenset({*PACKAGES, "tests", "benchmarks"})
Declared = Mapping[str, frozenset[str]]


def declared() -> Declared:
    """Distributions that pyproject.toml names: those of the core, and of each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = {"core": project["dependencies"], **project["optional-dependencies"]}
    return {group: frozenset(map(_normal, needed)) for group, needed in groups.items()}


def _normal(requirement: str) -> str:
    name = re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def allowed(found: Import, source: Source, groups: Declared) -> frozenset[str]:
    """The distributions that one import may need.

    A shipped file may need an extra for users, not `dev`; on import, only what the core has, the frameworks of
    the edge aside (which files those are is a matter of the import direction).
    """
    if source.path.split("/")[0] not in SHIPPED or found.when == "for types":
        return frozenset().union(*groups.values())
    if found.when == "on import" and found.root not in FRAMEWORKS:
        return groups["core"]
    return frozenset().union(*(names for group, names in groups.items() if group != "dev"))


def dependency_problems(source: Source, groups: Declared, providers: Mapping[str, list[str]]) -> Iterator[str]:
    """Imports from a distribution that is not declared for them."""
    for found in source.imports:
        if found.root in sys.stdlib_module_names | FIRST_PARTY:
            continue
        names = {_normal(name) for name in providers.get(found.root, [found.root])}
        if not names & allowed(found, source, groups):
            yield f"{source.path}:{found.line}: {found.root} {found.when} needs {'/'.join(sorted(names))}, undeclared"


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_are_declared(package: str) -> None:
    groups, providers = declared(), packages_distributions()
    refuse(problem for source in sources(package) for problem in dependency_problems(source, groups, providers))


def test_tests_need_nothing_undeclared() -> None:
    groups, providers = declared(), packages_distributions()
    refuse(problem for source in sources("tests") for problem in dependency_problems(source, groups, providers))


GROUPS = {
    "core": frozenset({"numpy"}),
    "jax": frozenset({"jax", "dm-haiku"}),
    "dev": frozenset({"scipy"}),
}


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("parity/a.py", "import numpy.linalg, os, parity", None),
        ("parity/a.py", "import haiku", None),
        ("parity/a.py", "def f(): import jax", None),
        ("parity/a.py", "if TYPE_CHECKING: import scipy", None),
        ("models/a.py", "import scipy", None),
        ("parity/a.py", "import scipy", "scipy on import needs scipy, undeclared"),
        ("parity/a.py", "def f(): import scipy", "scipy when called needs scipy, undeclared"),
        ("models/a.py", "import yaml", "yaml on import needs pyyaml, undeclared"),
        ("models/a.py", "import nowhere", "nowhere on import needs nowhere, undeclared"),
    ],
)
def test_undeclared_imports_are_found(path: str, text: str, problem: str | None) -> None:
    found = list(dependency_problems(Source(path, text), GROUPS, {"haiku": ["dm-haiku"], "yaml": ["PyYAML"]}))
    assert found == ([] if problem is None else [f"{path}:1: {problem}"])


def test_requirements_are_read() -> None:
    groups = declared()
    assert {"numpy", "ml-dtypes"} <= groups["core"]
    assert "dm-haiku" in groups["haiku"]
    assert "scipy" in groups["dev"]
    assert "scipy" not in groups["core"]
