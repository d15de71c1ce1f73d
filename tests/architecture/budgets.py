"""The budgets on files and functions: one generator of problems per budget."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from statistics import median

from tests.architecture.sources import Function, Source, declared, last_word

FILE_LINES = 400
FUNCTION_LINES = 40
MEDIAN_FILE_LINES = 150
MEDIAN_FUNCTION_LINES = 12
EMPTY_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "shared"})


def body_lines(function: Function) -> int:
    """Lines from the first statement to the last, the docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def size_problems(source: Source) -> Iterator[str]:
    """A file or a function that is too long."""
    lines = source.text.count("\n")
    if lines > FILE_LINES:
        yield f"{source.path}: {lines} lines, the budget is {FILE_LINES}"
    for function in source.functions():
        if (span := body_lines(function)) > FUNCTION_LINES:
            where = f"{source.path}:{function.lineno}: {function.name}"
            yield f"{where} has {span} lines, the budget is {FUNCTION_LINES}"


def median_problems(sources: Iterable[Source]) -> Iterator[str]:
    """A package whose usual file or function is too long."""
    files = [source.text.count("\n") for source in sources]
    functions = [body_lines(function) for source in sources for function in source.functions()]
    if (middle := median(files)) > MEDIAN_FILE_LINES:
        yield f"the median file has {middle} lines, the budget is {MEDIAN_FILE_LINES}"
    if functions and (middle := median(functions)) > MEDIAN_FUNCTION_LINES:
        yield f"the median function has {middle} lines, the budget is {MEDIAN_FUNCTION_LINES}"


def name_problems(source: Source) -> Iterator[str]:
    """A module or class named after nothing that it does."""
    for part in PurePosixPath(source.path).with_suffix("").parts:
        if EMPTY_NAMES & set(part.split("_")):
            yield f"{source.path}: {part} says nothing of what is in it"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef) and re.search("(Manager|Handler)$", node.name):
            yield f"{source.path}:{node.lineno}: {node.name} says nothing of what it does"


def typing_problems(source: Source) -> Iterator[str]:
    """A function or method, nested ones aside, with a parameter or a result that has no type."""
    for function, owner in declared(source.tree):
        arguments = function.args
        named = [*arguments.posonlyargs, *arguments.args]
        bound = owner is not None and not any(last_word(d) == "staticmethod" for d in function.decorator_list)
        stars = [star for star in (arguments.vararg, arguments.kwarg) if star is not None]
        untyped = [a.arg for a in (*named[bound:], *arguments.kwonlyargs, *stars) if a.annotation is None]
        if function.returns is None:
            untyped.append("its result")
        if untyped:
            yield f"{source.path}:{function.lineno}: {function.name} has no type for {', '.join(untyped)}"


def unfinished_problems(source: Source) -> Iterator[str]:
    """A note to do it later, an example that is not run, and a broad `except` that drops what it caught unsaid."""
    lines = source.text.splitlines()
    for number, line in enumerate(lines, 1):
        if found := re.search(r"\b(TODO|FIXME|XXX|HACK)\b|doctest: \+SKIP", line):
            yield f"{source.path}:{number}: {found[0]}"
    for node in ast.walk(source.tree):
        match node:
            case ast.ExceptHandler(type=None) | ast.ExceptHandler(type=ast.Name(id="Exception" | "BaseException")):
                dropped = all(isinstance(statement, ast.Pass | ast.Continue | ast.Expr) for statement in node.body)
                if dropped and not re.search(r"#.*\w\W+\w", lines[node.lineno - 1]):
                    yield f"{source.path}:{node.lineno}: whatever goes wrong here is dropped"
            case _:
                pass


def silent_test_problems(source: Source) -> Iterator[str]:
    """A test that cannot fail by what it finds."""
    for function in source.functions():
        text = "\n".join(ast.unparse(statement) for statement in function.body)
        if function.name.startswith("test_") and not re.search(
            r"assert|raises|warns|check|fail|match|expect|refuse", text
        ):
            yield f"{source.path}:{function.lineno}: {function.name} asserts nothing that can be seen"
