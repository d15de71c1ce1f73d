from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.process_state import DEFAULTS, process_state, state_changes
from tests.architecture.sources import ROOT


def test_nothing_changed_is_nothing_said() -> None:
    assert state_changes(process_state(), process_state()) == []


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_setting_is_watched(name: str) -> None:
    assert state_changes({}, DEFAULTS | {name: "other"}) == [f"{name} was {DEFAULTS[name]}, is other"]


def test_defaults_are_those_of_fresh_libraries() -> None:
    code = """
import jax, numpy, torch
from tests.architecture.process_state import DEFAULTS, process_state
assert process_state() == DEFAULTS, process_state()
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_test_that_leaves_float64_behind_fails(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((ROOT / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(
        """
        import numpy

        def test_careless():
            numpy.seterr(divide="raise")
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", f"--override-ini=pythonpath={ROOT}")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*process-wide settings were not restored: numpy.geterr() was *'divide': 'warn'*"])
