"""The plugin in somebody's suite: cases per candidate, the command line's choices, the files of a session."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import parity.files
from tests.engine.claims import ready_for_pytester  # noqa: F401  # a fixture of this module's tests

SUITE = """
import parity
from tests.engine.claims import RIGHT, WRONG

test_right = parity.as_test(RIGHT, examples=2)
test_wrong = parity.as_test(WRONG, examples=2)

@parity.given(WRONG, examples=2)
def test_report(report):
    assert not report.ok
"""


def test_a_suite_runs_its_pairs_and_writes_its_files(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # where any process finds the claims
    pytester.makepyfile(test_pairs=SUITE)
    options = "-k", "parity", "-p", "no:cacheprovider", "--parity-report", "found", "--junitxml", "junit.xml"
    run = pytester.runpytest_inprocess(*options)
    run.assert_outcomes(passed=2, failed=1)
    run.stdout.fnmatch_lines(
        [
            "*DIVERGENCE  wrong *nnx*  float64 on cpu, 1 example",
            "*FAIL  forward *",
            "*reproduce  python -m parity check tests.engine.claims:WRONG --candidate nnx --examples 2 *--seed 0",
            "1 of 3 comparisons agree, 4 examples; largest relative errors:",
        ]
    )
    found = json.loads((pytester.path / "found" / "parity.json").read_text())
    assert [(report["pair"], report["ok"]) for report in found] == [
        ("right [nnx]", True),
        ("wrong [nnx]", False),
        ("wrong [nnx]", False),
    ]
    assert (pytester.path / "found" / "summary.md").read_text().startswith("## Parity: 1 of 3 pairs agree\n")
    assert "wrong [nnx]" in (pytester.path / "found" / "parity.html").read_text()
    cases = ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    names = {case.get("name"): {p.get("name") for p in case.iter("property")} for case in cases}
    assert names["test_right[nnx]"] == {
        f"parity.{check}.{number}"
        for check in ("forward", "param_grad")
        for number in ("max_relative_error", "tolerance")
    }


def test_the_command_line_chooses(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_pairs="import parity\nfrom tests.engine.claims import RIGHT\ntest_it = parity.as_test(RIGHT)"
    )
    chosen = "--parity-examples", "3", "--parity-precision", "float32", "--parity-seed", "7", "--parity-checks", "sizes"
    run = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--parity-report", "found", *chosen)
    run.assert_outcomes(passed=1)
    found = json.loads((pytester.path / "found" / "parity.json").read_text())
    assert (found["examples"], found["precision"]) == (3, "float32")
    assert [result["check"] for result in found["results"]] == ["sizes"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--parity-checks", "nope", "ERROR: --parity-checks nope: no check called 'nope'; there are forward, *"),
        ("--parity-examples", "-1", "ERROR: --parity-examples -1: expected 1 or more"),
        (
            "--parity-report",
            "test_pairs.py/found",
            "ERROR: --parity-report test_pairs.py/found: */test_pairs.py is a file; name a folder",
        ),
    ],
)
def test_what_cannot_be_asked_for_is_a_usage_error(
    pytester: pytest.Pytester, option: str, value: str, message: str
) -> None:
    pytester.makepyfile(test_pairs=SUITE)
    run = pytester.runpytest_inprocess("-p", "no:cacheprovider", option, value)
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines([message])


def test_a_page_that_could_not_be_rendered_is_refused_before_any_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(test_pairs=SUITE)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    run = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--parity-report", "found")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(["ERROR: --parity-report needs jinja2: pip install 'crossparity[[]report]'"])
    assert not (pytester.path / "found").exists()


def test_reports_that_cannot_be_written_after_all_keep_nothing_from_being_told(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(test_pairs=SUITE)
    place = pytester.mkdir("found")
    (place / "summary.md").write_text("of before")

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parity.files, "_replace", full)
    run = pytester.runpytest_inprocess("-k", "right", "-p", "no:cacheprovider", "--parity-report", "found")
    run.assert_outcomes(passed=1, deselected=2)
    run.stdout.fnmatch_lines(["ERROR: --parity-report found/parity.json: cannot be written: No space left on device"])
    assert run.ret == pytest.ExitCode.INTERNAL_ERROR
    assert {path.name: path.read_text() for path in place.iterdir()} == {"summary.md": "of before"}
