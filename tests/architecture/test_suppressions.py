"""Whoever silences a checker names what is silenced and says why: on the line, or in a comment right above it."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.architecture.sources import PACKAGES, ROOT, Source, last_word, refuse, root_files, sources

CODE = r"(?P<code>\s*\[[^\]]+\]|:\s*[A-Z]+[0-9]+(?:,\s*[A-Z]+[0-9]+)*)?"
CODED = re.compile(rf"(?:type:\s*ignore|pyright:\s*ignore|(?:ruff:\s*)?noqa){CODE}")
UNCODED = re.compile(r"pragma:\s*no\s*\w+|pyright:\s*(?:basic|standard|report\w+\s*=\s*\w+)")

Comments = dict[int, str]


def comments(text: str) -> tuple[Comments, Comments]:
    """Comments by line: (those behind code, those with a line of their own)."""
    behind, alone = {}, {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            (behind if token.line[: token.start[1]].strip() else alone)[token.start[0]] = token.string
    return behind, alone


def suppression_problems(source: Source) -> Iterator[str]:
    """Comments that silence a checker without naming what, or without a reason."""
    behind, alone = comments(source.text)
    for line, comment in sorted((behind | alone).items()):
        coded = list(CODED.finditer(comment))
        if not coded and not UNCODED.search(comment):
            continue
        yield from (f"{source.path}:{line}: {found[0]} does not say which rule" for found in coded if not found["code"])
        if not _is_reason(UNCODED.sub("", CODED.sub("", comment))) and not _is_reason(alone.get(line - 1, "")):
            yield f"{source.path}:{line}: {comment} gives no reason"


def quieting_problems(source: Source) -> Iterator[str]:
    """Calls that silence a warning, a test or a health check without a reason."""
    behind, alone = comments(source.text)
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or not (what := _quieted(node)):
            continue
        lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        said = [*(behind.get(line, "") for line in lines), alone.get(node.lineno - 1, "")]
        if not any(map(_is_reason, said)) and not any(keyword.arg == "reason" for keyword in node.keywords):
            yield f"{source.path}:{node.lineno}: {what} gives no reason"


def configured_problems(text: str) -> Iterator[str]:
    """Rules that pyproject.toml switches off without a comment on the line or above it."""
    section, previous = "", ""
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\[|\w+ = \[$", line):
            section = line.strip()
        off = (
            re.search(r'^report\w+ = (false|"none")', line)
            or (section in {"ignore = [", "[tool.ruff.lint.per-file-ignores]"} and line.lstrip().startswith('"'))
            or (section == "filterwarnings = [" and re.match(r'\s*"(ignore|default|once|module|always):', line))
        )
        if off and not _is_reason("#".join(line.split("#")[1:])) and not previous.lstrip().startswith("#"):
            yield f"pyproject.toml:{number}: {line.strip()} gives no reason"
        previous = line


def _quieted(call: ast.Call) -> str:
    """What a call silences: the name of the means, or nothing."""
    name = ast.unparse(call.func)
    first = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
    if last_word(call.func) in {"filterwarnings", "simplefilter"} and str(first).startswith("ignore"):
        return name
    if re.search(r"mark\.(skip|xfail)$", name) or (name == "pytest.skip" and not call.args):
        return name
    return "suppress_health_check" if any(k.arg == "suppress_health_check" for k in call.keywords) else ""


def _is_reason(comment: str) -> bool:
    """Whether a comment says anything, in at least two words."""
    return len(re.findall(r"[^\W\d_]{2,}|\d+", comment)) >= 2


def everything() -> tuple[Source, ...]:
    folders = [folder for folder in ("tests", "benchmarks") if any((ROOT / folder).rglob("*.py"))]
    return (*sources(*PACKAGES, *folders), *root_files())


def test_every_suppression_is_a_sentence() -> None:
    refuse(problem for source in everything() for problem in suppression_problems(source))


def test_every_silenced_warning_has_a_reason() -> None:
    refuse(problem for source in everything() for problem in quieting_problems(source))


def test_every_rule_switched_off_has_a_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    refuse(configured_problems(text))
    assert len(list(configured_problems(re.sub("#.*", "", text)))) > 10, "without its comments every entry is found"


HASH = "#"  # so that this file silences nothing itself


@pytest.mark.parametrize(
    ("comment", "problems"),
    [
        (" type: ignore", ["does not say which rule", "gives no reason"]),
        (" type: ignore  the stub is wrong", ["does not say which rule"]),
        (" noqa", ["does not say which rule", "gives no reason"]),
        (" ruff: noqa", ["does not say which rule", "gives no reason"]),
        (" noqa: E501", ["gives no reason"]),
        (" type: ignore[arg-type]", ["gives no reason"]),
        (" pyright: ignore[reportX, reportY]  # yes", ["gives no reason"]),
        (" pyright: basic", ["gives no reason"]),
        (" pragma: no cover", ["gives no reason"]),
        (" noqa: E501  a link is not wrapped", []),
        (" type: ignore[arg-type]  # the stub wants a list", []),
        (" pyright: ignore[reportX]  (finite proves Real)", []),
        (" an ordinary comment", []),
    ],
)
def test_silencing_comments(comment: str, problems: list[str]) -> None:
    found = list(suppression_problems(Source("parity/bad.py", f"x = 1  {HASH}{comment}\n")))
    assert [
        problem.startswith("parity/bad.py:1: ") and problem.endswith(end)
        for problem, end in zip(found, problems, strict=True)
    ] == [True] * len(problems)


def test_a_reason_may_stand_above() -> None:
    assert not list(suppression_problems(Source("a.py", f"# the stub wants a list\nx = 1  {HASH} noqa: E501\n")))
    assert list(suppression_problems(Source("a.py", f"y = 1  # about y alone\nx = 1  {HASH} noqa: E501\n")))


@pytest.mark.parametrize(
    "call",
    [
        "warnings.simplefilter('ignore')",
        "pytest.mark.filterwarnings('ignore:x')",
        "pytest.mark.skip()",
        "pytest.mark.xfail(strict=True)",
        "pytest.skip()",
        "settings(suppress_health_check=[1])",
    ],
)
def test_quieting_calls(call: str) -> None:
    name = "suppress_health_check" if "health" in call else call.split("(")[0]
    assert list(quieting_problems(Source("a.py", f"{call}\n"))) == [f"a.py:1: {name} gives no reason"]
    assert list(quieting_problems(Source("a.py", f"# jax warns of int64 here\n{call}\n"))) == []
    assert list(quieting_problems(Source("a.py", f"{call}  # jax warns of int64 here\n"))) == []


def test_reasons_that_are_arguments() -> None:
    text = "pytest.mark.skip(reason='no GPU here')\npytest.skip('no GPU here')\nwarnings.simplefilter('error')\n"
    assert list(quieting_problems(Source("a.py", text))) == []
