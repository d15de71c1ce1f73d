"""Which public things lack a docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.architecture.sources import SHIPPED, Function, Source, declared, last_word


@dataclass(frozen=True)
class Documented:
    """What a class says of its methods, and whom it inherits from."""

    bases: tuple[str, ...]
    methods: frozenset[str]


def docstring_problems(sources: Sequence[Source]) -> Iterator[str]:
    """Public modules, classes and functions without a docstring; methods too, in what is shipped.

    A method may leave its docstring to a class of the same package that it overrides. In models, a layer's
    docstring is that of its methods.
    """
    classes = dict(_classes(sources))
    for source in sources:
        if ast.get_docstring(source.tree) is None and source.text.strip():
            yield f"{source.path}: no docstring"
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and not _said(node):
                yield f"{source.path}:{node.lineno}: {node.name} has no docstring"
        for function, owner in _answerable(source):
            if not _said(function) and not (owner and _inherited(function.name, owner.name, classes)):
                yield f"{source.path}:{function.lineno}: {function.name} has no docstring"


def _answerable(source: Source) -> Iterator[tuple[Function, ast.ClassDef | None]]:
    """Functions, and the methods of public classes in what is shipped."""
    shipped = source.path.split("/")[0] in SHIPPED
    for function, owner in declared(source.tree):
        if owner is None or (shipped and not owner.name.startswith("_")):
            yield function, owner


def _classes(sources: Sequence[Source]) -> Iterator[tuple[str, Documented]]:
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef):
                methods = {m.name for m in node.body if isinstance(m, Function) and ast.get_docstring(m) is not None}
                yield node.name, Documented(tuple(map(last_word, node.bases)), frozenset(methods))


def _inherited(method: str, owner: str, classes: Mapping[str, Documented]) -> bool:
    """Whether a class above `owner` documents `method`."""
    pending, seen = [owner], {owner}
    while pending:
        known = classes.get(pending.pop())
        bases = known.bases if known else ()
        if any(method in classes[base].methods for base in bases if base in classes):
            return True
        pending += [base for base in bases if base not in seen]
        seen.update(bases)
    return False


def _said(node: Function | ast.ClassDef) -> bool:
    """Whether a definition says what it is, or need not: it is private, or another form of one that does."""
    forms = {last_word(decorator) for decorator in node.decorator_list}
    return node.name.startswith("_") or bool(forms & {"overload", "setter"}) or ast.get_docstring(node) is not None
