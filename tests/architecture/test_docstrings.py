from __future__ import annotations

import pytest

from tests.architecture.docstrings import docstring_problems
from tests.architecture.sources import PACKAGES, Source, refuse, sources


@pytest.mark.parametrize("package", PACKAGES)
def test_everything_public_is_documented(package: str) -> None:
    refuse(docstring_problems(sources(package)))


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("parity/bad.py", "x = 1", "parity/bad.py: no docstring"),
        ("parity/bad.py", "'Says.'\nclass A: ...", "parity/bad.py:2: A has no docstring"),
        ("models/bad.py", "'Says.'\ndef f(): ...", "models/bad.py:2: f has no docstring"),
        ("parity/bad.py", "'Says.'\nclass A:\n  'Says.'\n  def f(self): ...", "parity/bad.py:4: f has no docstring"),
        ("parity/bad.py", "'Says.'\nclass A(B):\n  'Says.'\n  def f(self): ...", "parity/bad.py:4: f has no docstring"),
        ("parity/bad.py", "'Says.'\nclass A(A):\n  'Says.'\n  def f(self): ...", "parity/bad.py:4: f has no docstring"),
    ],
)
def test_what_lacks_a_docstring_is_found(path: str, text: str, problem: str) -> None:
    assert list(docstring_problems([Source(path, text)])) == [problem]


ABOVE = """'Says.'
class Top:
    'Says.'
    def f(self):
        'Says.'
class Middle(Top):
    'Says.'
"""

BELOW = """'Says.'
class Leaf(a.Middle[int]):
    'Says.'
    def f(self): ...
    def _g(self): ...
"""

LAYER = """'Says.'
class Layer:
    'Says.'
    def forward(self): ...
def _f(): ...
"""


def test_what_needs_no_docstring_is_not_found() -> None:
    package = [Source("parity/a.py", ABOVE), Source("parity/b.py", BELOW), Source("parity/__init__.py", "")]
    assert list(docstring_problems([*package, Source("models/c.py", LAYER)])) == []
