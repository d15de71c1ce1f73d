"""The code of `docs/networks.md` runs as it stands and prints what its comments say."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest

GUIDE = Path(__file__).parents[3] / "docs" / "networks.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
PRINTS = re.compile(r"^print\(.*\)  # (.*)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def _seeds_left_as_found():
    before = random.getstate(), np.random.get_state()
    yield
    random.setstate(before[0])
    np.random.set_state(before[1])


def check_prints(snippet: str, capsys) -> dict[str, object]:
    """Run one snippet, check each printed line, and return its names."""
    names: dict[str, object] = {}
    exec(compile(snippet, str(GUIDE), "exec"), names)
    assert capsys.readouterr().out.splitlines() == PRINTS.findall(snippet)
    return names


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_runs_and_prints_what_it_says(snippet, capsys):
    check_prints(snippet, capsys)


def test_the_guide_still_has_its_snippets():
    assert len(SNIPPETS) == 12
    assert [line for snippet in SNIPPETS for line in PRINTS.findall(snippet)] == [
        "(32, 8)",
        "(32, 64)",
        "(32, 3, 64, 64)",
        "(4, 8)",
    ]


def test_a_wrong_comment_is_noticed(capsys):
    with pytest.raises(AssertionError):
        check_prints("print((1, 2))  # (2, 1)\n", capsys)


def test_the_sample_has_the_width_that_was_asked_for(capsys):
    (snippet,) = [s for s in SNIPPETS if "dist_z = dist(z)" in s]
    dist_z = check_prints(snippet, capsys)["dist_z"]
    assert dist_z.shape == ((32, 64), (32, 64), (32, 64))


def test_the_losses_have_their_shapes(capsys):
    (snippet,) = [s for s in SNIPPETS if "binary_focal_loss" in s]
    names = check_prints(snippet, capsys)
    assert names["loss"].shape == (32,)
    focal = names["focal_loss"](names["logits"], names["labels"], gamma=2.0)
    assert float(focal) == pytest.approx(0.9**2 * np.log(10), rel=1e-6)
