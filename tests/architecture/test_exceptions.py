"""What a package raises on purpose is one tree, drawn where its root stands."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence

import pytest

from tests.architecture.sources import SHIPPED, Source, last_word, refuse, sources

BUILTIN = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
)


def exception_classes(sources: Sequence[Source]) -> dict[str, tuple[Source, tuple[str, ...]]]:
    """Exceptions that the sources define: name to (file, names of the bases).

    Warnings are left out, and private ones: those are signals that never leave their file.
    """
    defined = {
        node.name: (source, tuple(map(last_word, node.bases)))
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }
    found: dict[str, tuple[Source, tuple[str, ...]]] = {}
    while new := {
        name: (source, bases)
        for name, (source, bases) in defined.items()
        if name not in found and any(base in BUILTIN or base in found for base in bases)
        if not any(base.endswith("Warning") for base in bases)
    }:
        found |= new
    return found


def tree_problems(sources: Sequence[Source]) -> Iterator[str]:
    """A second root, and an exception that the drawing leaves out."""
    classes = exception_classes(sources)
    roots = [name for name, (_, bases) in classes.items() if not any(base in classes for base in bases)]
    if len(roots) > 1:
        yield f"one root expected, got {', '.join(f'{name} in {classes[name][0].path}' for name in sorted(roots))}"
    for root in roots:
        home = classes[root][0]
        drawing = ast.get_docstring(home.tree) or ""
        if len(roots) == 1:
            yield from (f"{name} is not drawn in {home.path}" for name in sorted(classes) if name not in drawing)


@pytest.mark.parametrize("package", SHIPPED)
def test_exceptions_form_one_tree(package: str) -> None:
    found = sources(package)
    assert len(exception_classes(found)) > 1, "a package that refuses things has exceptions of its own"
    refuse(tree_problems(found))


GOOD = '''"""
Root
├── Leaf
└── Twig
"""
class Root(Exception): ...
class Leaf(Root, ValueError): ...
class Deprecated(UserWarning): ...
class Plain: ...
class _Signal(Exception): ...
'''


def test_one_tree_passes_and_what_is_off_it_is_found() -> None:
    tree = Source("parity/_errors.py", GOOD)
    assert list(tree_problems([tree, Source("parity/a.py", "class Twig(_errors.Leaf): ...")])) == []
    assert list(tree_problems([tree, Source("parity/a.py", "class Secret(_errors.Leaf): ...")])) == [
        "Secret is not drawn in parity/_errors.py"
    ]
    assert list(tree_problems([tree, Source("parity/a.py", "class Stray(KeyError): ...")])) == [
        "one root expected, got Root in parity/_errors.py, Stray in parity/a.py"
    ]
