"""Who may import whom, and which files may load a framework when they are imported."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch

import pytest

from tests.architecture.sources import FRAMEWORKS, PACKAGES, SHIPPED, Source, refuse, sources

FIRST_PARTY = {"weight_bridge", "parity", "models", "tests", "benchmarks", "conftest"}

MAY_IMPORT: Mapping[str, frozenset[str]] = {
    "weight_bridge": frozenset(),
    "parity": frozenset({"weight_bridge"}),
    "models": frozenset({"weight_bridge", "parity"}),
}

MAY_LOAD_FRAMEWORKS: Mapping[str, str] = {
    "weight_bridge/tree_*.py": "one JAX library each: abstract leaves out, arrays in, pytree out",
    "parity/backends/*.py": "one framework each: arrays in, outputs and gradients out",
    "parity/explain/*.py": "recomputes torch modules; loaded when something has failed, long after torch",
}

SIDES: Mapping[str, frozenset[str]] = {
    "torch": frozenset({"torch"}),
    "jax": frozenset({"jax", "linen", "nnx"}),
}
"""The last word of a model's file name tells its side; what both share is in files that name neither."""


def direction_problems(source: Source) -> Iterator[str]:
    """Imports of a package that stands above, or of a private module of another package."""
    own = source.path.split("/")[0]
    for found in source.imports:
        if found.root not in FIRST_PARTY - {own}:
            continue
        if found.root not in MAY_IMPORT[own]:
            yield f"{source.path}:{found.line}: {own} may not import {found.root}"
        elif any(part.startswith("_") for part in (*found.module.split("."), found.name or "")):
            yield f"{source.path}:{found.line}: {found.module} {found.name or ''} is private to {found.root}"


def surface_problems(source: Source, package: str, public: frozenset[str]) -> Iterator[str]:
    """Uses of `package` other than `import package` with `package.name`, and `from package import name`."""
    for found in source.imports:
        if found.root == package and found.module != package:
            yield f"{source.path}:{found.line}: {found.module} is inside {package}; use what {package} exports"
        elif found.root == package and found.name is not None and found.name not in public:
            yield f"{source.path}:{found.line}: {package}.{found.name} is not in its __all__"
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                if name == package and attribute not in public:
                    yield f"{source.path}:{node.lineno}: {package}.{attribute} is not in its __all__"
            case _:
                pass


def framework_problems(source: Source) -> Iterator[str]:
    """Frameworks loaded by importing a file that is not at the edge."""
    if any(fnmatch(source.path, pattern) for pattern in MAY_LOAD_FRAMEWORKS):
        return
    for found in source.imports:
        if found.root in FRAMEWORKS and found.when == "on import":
            yield f"{source.path}:{found.line}: importing this file loads {found.root}; import it where it is used"


def side_problems(source: Source) -> Iterator[str]:
    """A model of one side that leans on the other, so that one mistake could be made on both and cancel."""
    sides = _sides(source.path.removesuffix(".py"))
    if len(sides) != 1:
        return
    for found in source.imports:
        target = f"{found.module}.{found.name or ''}"
        needs = _sides(target) if found.root == "models" else {"torch" if found.root == "torch" else "jax"}
        if found.root in {"models", *FRAMEWORKS} and needs - sides and found.when != "for types":
            yield f"{source.path}:{found.line}: the {min(sides)} side imports {target.strip('.')}"


def _sides(name: str) -> set[str]:
    """The sides that the last words of a path's or module's parts name: torch_rules_nnx is JAX's."""
    words = {part.split("_")[-1] for part in re.split("[./]", name)}
    return {side for side, marks in SIDES.items() if words & marks}


@pytest.mark.parametrize("package", PACKAGES)
def test_direction(package: str) -> None:
    refuse(problem for source in sources(package) for problem in direction_problems(source))


def test_parity_uses_the_public_api_of_weight_bridge() -> None:
    public = frozenset(importlib.import_module("weight_bridge").__all__)
    users = [source for source in sources("parity") if any(i.root == "weight_bridge" for i in source.imports)]
    assert users, "parity carries weights over with weight_bridge, so some file imports it"
    refuse(problem for source in users for problem in surface_problems(source, "weight_bridge", public))


@pytest.mark.parametrize("package", SHIPPED)
def test_frameworks_stay_at_the_edge(package: str) -> None:
    refuse(problem for source in sources(package) for problem in framework_problems(source))


@pytest.mark.parametrize("pattern", MAY_LOAD_FRAMEWORKS)
def test_every_exception_is_still_needed(pattern: str) -> None:
    matching = [source for source in sources(*SHIPPED) if fnmatch(source.path, pattern)]
    assert any(i.root in FRAMEWORKS and i.when == "on import" for source in matching for i in source.imports)


def test_the_two_sides_of_a_model_are_independent() -> None:
    refuse(problem for source in sources("models") for problem in side_problems(source))


def _one(problems: Iterator[str]) -> str:
    (problem,) = problems
    return problem


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("weight_bridge/bad.py", "import parity", "1: weight_bridge may not import parity"),
        ("weight_bridge/bad.py", "def f():\n  import models.x", "2: weight_bridge may not import models"),
        ("parity/bad.py", "from tests import x", "1: parity may not import tests"),
        ("parity/bad.py", "import_module('models.tidhy')", "1: parity may not import models"),
        ("models/bad.py", "from benchmarks import x", "1: models may not import benchmarks"),
        ("models/bad.py", "from parity._cli import x", "1: parity._cli x is private to parity"),
        ("models/bad.py", "from parity import _x", "1: parity _x is private to parity"),
    ],
)
def test_wrong_direction_is_found(path: str, text: str, problem: str) -> None:
    assert _one(direction_problems(Source(path, text))) == f"{path}:{problem}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("from weight_bridge.plan import Plan", "weight_bridge.plan is inside weight_bridge"),
        ("from weight_bridge import hidden", "weight_bridge.hidden is not in its __all__"),
        ("import weight_bridge; weight_bridge.hidden()", "weight_bridge.hidden is not in its __all__"),
    ],
)
def test_use_of_internals_is_found(text: str, problem: str) -> None:
    found = surface_problems(Source("parity/bad.py", text), "weight_bridge", frozenset({"convert"}))
    assert _one(found).startswith(f"parity/bad.py:1: {problem}")


@pytest.mark.parametrize("text", ["import weight_bridge; weight_bridge.convert()", "from weight_bridge import convert"])
def test_use_of_the_public_api_is_not_found(text: str) -> None:
    assert list(surface_problems(Source("parity/good.py", text), "weight_bridge", frozenset({"convert"}))) == []


def test_framework_off_the_edge_is_found() -> None:
    text = "try:\n  import flax.nnx\nexcept ImportError: pass\ndef f():\n  import torch"
    assert list(framework_problems(Source("parity/bad.py", text))) == [
        "parity/bad.py:2: importing this file loads flax; import it where it is used"
    ]
    assert not list(framework_problems(Source("parity/backends/good.py", text)))


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("models/a/torch.py", "import jax", "models/a/torch.py:1: the torch side imports jax"),
        (
            "models/a/losses_nnx.py",
            "def f():\n import torch",
            "models/a/losses_nnx.py:2: the jax side imports torch",
        ),
        (
            "models/a/linen.py",
            "from .torch import f",
            "models/a/linen.py:1: the jax side imports models.a.torch.f",
        ),
        (
            "models/a/torch.py",
            "from . import linen",
            "models/a/torch.py:1: the torch side imports models.a.linen",
        ),
    ],
)
def test_a_side_that_leans_on_the_other_is_found(path: str, text: str, problem: str) -> None:
    assert _one(side_problems(Source(path, text))) == problem


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("models/a/pair.py", "import torch, jax"),
        ("models/a/nnx.py", "import jax\nfrom models.a import inference_jax, torch_rules_nnx, config\nimport parity"),
        ("models/a/linen.py", "if TYPE_CHECKING: import torch"),
    ],
)
def test_what_sides_may_share_is_not_found(path: str, text: str) -> None:
    assert list(side_problems(Source(path, text))) == []
