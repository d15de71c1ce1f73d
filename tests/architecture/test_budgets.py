from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.architecture import budgets
from tests.architecture.sources import PACKAGES, ROOT, Source, refuse, root_files, sources

Checker = Callable[[Source], Iterator[str]]

EVERYWHERE: tuple[Checker, ...] = (budgets.size_problems, budgets.name_problems)
IN_PACKAGES: tuple[Checker, ...] = (
    *EVERYWHERE,
    budgets.typing_problems,
    budgets.unfinished_problems,
)


def beside_the_packages() -> tuple[Source, ...]:
    folders = [folder for folder in ("tests", "benchmarks", "docs") if any((ROOT / folder).rglob("*.py"))]
    return (*sources(*folders), *root_files())


@pytest.mark.parametrize("checker", IN_PACKAGES, ids=lambda checker: checker.__name__)
@pytest.mark.parametrize("package", PACKAGES)
def test_packages(package: str, checker: Checker) -> None:
    refuse(problem for source in sources(package) for problem in checker(source))


@pytest.mark.parametrize("package", PACKAGES)
def test_medians(package: str) -> None:
    refuse(budgets.median_problems(sources(package)))


@pytest.mark.parametrize("checker", EVERYWHERE, ids=lambda checker: checker.__name__)
def test_what_is_not_shipped(checker: Checker) -> None:
    refuse(problem for source in beside_the_packages() for problem in checker(source))


def test_every_test_can_fail() -> None:
    refuse(problem for source in sources("tests") for problem in budgets.silent_test_problems(source))


def lines(count: int) -> str:
    return "\n".join(f"    x{number} = {number}" for number in range(count))


BAD: tuple[tuple[Checker, str, str], ...] = (
    (budgets.size_problems, "x = 1\n" * 401, ": 401 lines, the budget is 400"),
    (
        budgets.size_problems,
        f"def long():\n    '''Says.'''\n{lines(41)}",
        ":1: long has 41 lines, the budget is 40",
    ),
    (
        budgets.size_problems,
        f"class A:\n  async def long():\n{lines(41)}",
        ":2: long has 41 lines, the budget is 40",
    ),
    (budgets.name_problems, "class JobManager: ...", ":1: JobManager says nothing of what it does"),
    (budgets.typing_problems, "def f(a, b: int) -> int: ...", ":1: f has no type for a"),
    (budgets.typing_problems, "def f(*a, **k): ...", ":1: f has no type for a, k, its result"),
    (budgets.typing_problems, "class A:\n  def f(self, a) -> int: ...", ":2: f has no type for a"),
    (budgets.typing_problems, "class A:\n  @staticmethod\n  def f(a) -> int: ...", ":3: f has no type for a"),
    (budgets.typing_problems, "if x:\n  def f() : ...", ":2: f has no type for its result"),
    (budgets.unfinished_problems, "'>>> f()  # doctest: +SKIP'", ":1: doctest: +SKIP"),
    (budgets.unfinished_problems, "x = 1  # " + "TODO later", ":1: " + "TODO"),
    (
        budgets.unfinished_problems,
        "try: f()\nexcept Exception: pass",
        ":2: whatever goes wrong here is dropped",
    ),
    (budgets.unfinished_problems, "try: f()\nexcept:\n  ...", ":2: whatever goes wrong here is dropped"),
    (budgets.silent_test_problems, "def test_x():\n  f()", ":1: test_x asserts nothing that can be seen"),
)


@pytest.mark.parametrize(("checker", "text", "problem"), BAD)
def test_each_budget_can_be_exceeded(checker: Checker, text: str, problem: str) -> None:
    assert list(checker(Source("parity/bad.py", text))) == ["parity/bad.py" + problem]


@pytest.mark.parametrize("path", ["parity/utils.py", "models/common/nnx.py", "parity/test_helpers.py"])
def test_empty_module_names_are_found(path: str) -> None:
    assert len(list(budgets.name_problems(Source(path, "")))) == 1


GOOD = f'''"""Says."""
def f(a: int, *rest: int, **more: int) -> int:
    """Says.

{lines(50)}
    """
{lines(40)}
class A:
    """Says."""
    def __init__(self) -> None: ...
    @classmethod
    def g(cls) -> None:
        """Says."""
        def nested(x): ...
        try: nested(1)
        except ValueError: pass
        try: nested(1)
        except Exception:  # a sketch may fail in any way
            pass
def test_f() -> None:
    """Says."""
    assert f(1)
'''


@pytest.mark.parametrize("checker", [*IN_PACKAGES, budgets.silent_test_problems], ids=lambda checker: checker.__name__)
def test_what_keeps_to_the_budget_passes(checker: Checker) -> None:
    assert list(checker(Source("parity/good.py", GOOD))) == []


def test_medians_can_be_exceeded() -> None:
    short, long = Source("a.py", ""), Source("b.py", f"def f():\n{lines(13)}" + "\n" * 150)
    assert list(budgets.median_problems([short, long, long])) == [
        "the median file has 163 lines, the budget is 150",
        "the median function has 13.0 lines, the budget is 12",
    ]
    assert list(budgets.median_problems([short, short, long, Source("c.py", "def g(): ...")])) == []
