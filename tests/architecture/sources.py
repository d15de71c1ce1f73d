"""The repository's Python files, parsed once, and what each of them imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("weight_bridge", "parity")
PACKAGES = (*SHIPPED, "models")
"""Packages under the budgets; `tests` and `benchmarks` are not."""

FRAMEWORKS = ("torch", "jax", "jaxlib", "flax", "optax", "equinox", "haiku", "orbax", "tensorstore")
"""What takes seconds to import, and what a user of the other side need not have."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
When = Literal["on import", "when called", "for types"]


@dataclass(frozen=True)
class Import:
    """One imported module, or one name `name` imported from `module`."""

    module: str
    name: str | None
    line: int
    when: When

    @property
    def root(self) -> str:
        return self.module.split(".")[0]


@dataclass(frozen=True)
class Source:
    """A Python file: `path` is relative to the repository, with forward slashes."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def package(self) -> tuple[str, ...]:
        """The package that a relative import of this file starts from."""
        return tuple(self.path.split("/")[:-1])

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(_imports(self.tree, self.package, "on import"))

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


def _imports(node: ast.AST, package: tuple[str, ...], when: When) -> Iterator[Import]:
    match node:
        case ast.Import(names=names):
            yield from (Import(alias.name, None, node.lineno, when) for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            base = package[: len(package) - level + 1] if level else ()
            full = ".".join([*base, *([module] if module else [])])
            yield from (Import(full, alias.name, node.lineno, when) for alias in names)
        case ast.Call(func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module")):
            if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
                yield Import(node.args[0].value, None, node.lineno, when)
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            for child in node.body:
                yield from _imports(child, package, "for types")
            for child in node.orelse:
                yield from _imports(child, package, when)
            return
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            when = "when called" if when == "on import" else when
        case _:
            pass
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, package, when)


def declared(tree: ast.Module) -> Iterator[tuple[Function, ast.ClassDef | None]]:
    """Functions of a module and methods of its classes, with the class."""
    pending: list[tuple[ast.AST, ast.ClassDef | None]] = [(tree, None)]
    while pending:
        node, owner = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield child, owner
            elif isinstance(child, ast.ClassDef):
                pending.append((child, child))
            elif isinstance(child, ast.If | ast.Try | ast.With):
                pending.append((child, owner))


def last_word(node: ast.expr) -> str:
    """The last word of a dotted name."""
    return re.split(r"[(\[]", ast.unparse(node))[0].split(".")[-1]


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """Every Python file under folders of the repository; one without any is an error, never a pass."""
    return tuple(source for folder in folders for source in read(ROOT, folder))


def read(root: Path, folder: str) -> tuple[Source, ...]:
    """Every Python file under one folder of `root`.

    Raises:
        LookupError: there is none, so that whatever is checked of them would hold without being looked at.
    """
    paths = sorted((root / folder).rglob("*.py"))
    if not paths:
        raise LookupError(f"no Python file under {folder}/: nothing would be checked")
    return tuple(Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in paths)


def root_files() -> tuple[Source, ...]:
    """Python files that stand in the repository's root."""
    return tuple(Source(path.name, path.read_text(encoding="utf-8")) for path in sorted(ROOT.glob("*.py")))


def refuse(problems: Iterable[str]) -> None:
    """Fails with one line per problem, all of them, or passes where there is none."""
    found = list(problems)
    assert not found, "\n".join([f"{len(found)} found", *found])
