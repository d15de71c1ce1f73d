"""The `parity` command: exit codes, what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from parity import UsageError, check, compare
from parity._cli import main
from parity.faults.discovery import pairs_and_faults
from tests.engine.claims import RIGHT as CLAIM

RIGHT, WRONG = "tests.engine.claims:RIGHT", "tests.engine.claims:WRONG"


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, output and errors of one command."""
    monkeypatch.setattr("sys.argv", ["parity", *words])
    with pytest.raises(SystemExit) as left:
        main()
    printed = capsys.readouterr()
    code = left.value.code
    return code if isinstance(code, int) else 0, printed.out, printed.err


def test_pairs_are_listed_with_their_candidates_and_checks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(monkeypatch, capsys, "list", "tests.engine.claims")
    assert code == 0
    assert out.splitlines() == [
        "tests.engine.claims:RIGHT  candidates nnx  checks forward, param_grad",
        "tests.engine.claims:WRONG  candidates nnx  checks forward, param_grad",
    ]


def test_a_right_pair_exits_with_0(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(monkeypatch, capsys, "check", RIGHT, "--examples", "2", "--checks", "forward, sizes")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [["parity", "right"], ["ok", "forward"], ["ok", "sizes"]]


def test_a_wrong_pair_exits_with_1_and_says_what_where_why_and_how_to_see_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = "--json", str(tmp_path / "found.json"), "--html", str(tmp_path / "found.html")
    code, out, _ = call(monkeypatch, capsys, "check", WRONG, "--examples", "2", *files)
    assert code == 1
    heads = [line.split()[0] for line in out.splitlines()]
    assert heads[:4] == ["DIVERGENCE", "FAIL", "FAIL", "where"]
    assert heads[-2:] == ["example", "reproduce"]
    command = f"python -m parity check {WRONG} --candidate nnx --examples 2 --precision float64 --device cpu --seed 0"
    assert out.splitlines()[-1].endswith(command)
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["pair"], found["ok"], found["reproduce"]) == ("wrong [nnx]", False, command)
    assert {"pair", "ok", "device", "precision", "results", "divergence", "causes", "reproduce"} <= set(found)
    assert "wrong [nnx]" in (tmp_path / "found.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("check", "tests.engine.claims"),
            (
                "parity: 'tests.engine.claims': expected package.module:PAIR; "
                "`parity list tests.engine.claims` shows the pairs of a module"
            ),
        ),
        (
            ("check", "tests.engine.claims:LEFT"),
            "parity: tests.engine.claims has no pair called 'LEFT'; it has RIGHT, WRONG",
        ),
        (
            ("check", "tests.nowhere:RIGHT"),
            "parity: no module named 'tests.nowhere'; run where tests.nowhere can be imported",
        ),
        (("check", RIGHT, "--candidate", "linen"), "parity: pair 'right' has no candidate 'linen'; it has nnx"),
        (
            ("check", RIGHT, "--checks", "size"),
            (
                "parity: no check called 'size'; there are forward, input_grad, param_grad, buffers, loop, randomness, "
                "initial, special, sizes, dtypes, second_order, trajectory, transforms"
            ),
        ),
    ],
)
def test_what_cannot_be_used_exits_with_2_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert call(monkeypatch, capsys, *words) == (2, "", message + "\n")


def test_an_unknown_precision_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(monkeypatch, capsys, "check", RIGHT, "--precision", "float8")
    assert code == 2
    assert "expected one of float64, float32, bfloat16, float16" in " ".join(err.replace("│", " ").split())


LONG = "x" * 300 + ".html"


@pytest.mark.parametrize(
    ("option", "place", "message"),
    [
        ("--html", "missing/x.html", "there is no folder {folder}/missing; make it first"),
        ("--json", "missing/x.json", "there is no folder {folder}/missing; make it first"),
        ("--json", "", "that is a folder; name a file in it"),
        ("--json", "taken/x.json", "{folder}/taken is a file; name a folder"),
        ("--html", LONG, "cannot be written: File name too long"),
    ],
)
def test_a_file_that_could_not_be_written_is_refused_before_anything_is_run(
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    option: str,
    place: str,
    message: str,
) -> None:
    (tmp_path / "taken").touch()
    path = tmp_path / place
    expected = f"parity: {option} {path}: {message.format(folder=tmp_path)}\n"
    assert call(monkeypatch, capsys, "check", WRONG, option, str(path)) == (2, "", expected)
    assert [there.name for there in tmp_path.iterdir()] == ["taken"]


def test_a_page_without_jinja2_is_refused_before_anything_is_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    expected = "parity: --html needs jinja2: pip install 'crossparity[report]'\n"
    assert call(monkeypatch, capsys, "check", WRONG, "--html", str(tmp_path / "found.html")) == (2, "", expected)


def test_a_file_that_cannot_be_written_after_all_is_no_divergence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def half(path: Path, text: str, **_: Any) -> None:
        path.write_bytes(text[:9].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    path = tmp_path / "found.json"
    path.touch()
    code, _, err = call(monkeypatch, capsys, "check", RIGHT, "--examples", "1", "--json", str(path))
    assert (code, err) == (2, f"parity: {path}: cannot be written: No space left on device\n")
    assert {there.name: there.read_bytes() for there in tmp_path.iterdir()} == {"found.json": b""}


def test_what_a_model_warns_of_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forward(linear: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
        warnings.warn("linear layers are old", UserWarning, stacklevel=2)
        return torch.nn.functional.linear(x, linear.weight, linear.bias)

    monkeypatch.setattr(torch.nn.Linear, "forward", forward)
    with warnings.catch_warnings(record=True) as told:
        warnings.resetwarnings()
        code, _, _ = call(monkeypatch, capsys, "check", RIGHT, "--examples", "3")
    assert code == 0
    assert [str(warning.message) for warning in told].count("linear layers are old") == 1


def test_pairs_of_a_module_on_top_have_faults_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "claims_on_top.py").write_text("from tests.engine.claims import RIGHT\n")
    monkeypatch.syspath_prepend(tmp_path)
    pairs, faults = pairs_and_faults("claims_on_top:RIGHT", generic=False)
    monkeypatch.delitem(sys.modules, "claims_on_top")
    assert (pairs, faults) == ([CLAIM], [])


OFFENDERS = """
from dataclasses import dataclass
import torch
from flax import nnx
from hypothesis import strategies as st
import parity

class Broken(torch.nn.Linear):
    def forward(self, x):
        raise KeyError("state")

def linear(config):
    return torch.nn.Linear(5, 3)

def pair(**given):
    known = dict(name="it", reference=linear, candidates={"nnx": lambda config: nnx.Linear(5, 3, rngs=nnx.Rngs(0))},
                 inputs=lambda config: st.just((parity.real(2, 5),)))
    return parity.Pair(**{**known, **given})

RAISES = pair(reference=lambda config: Broken(5, 3))
INPUTS = pair(inputs=lambda config: config.width)
METHOD = pair(method="encode")
TORCH = pair(candidates={"nnx": linear})
"""
MODULES = {
    "offending": OFFENDERS,
    "emptied": "",
    "needing": "import not_installed_anywhere",
    "failing": "x = {}['key']",
    "misspelt": "def f(:",
    "drawing_less": (
        "import parity\nfrom dataclasses import dataclass\n@dataclass\nclass Sizes:\n    width: int\n"
        "    depth: int = 2\nparity.configs(Sizes, depth=None)"
    ),
}
MEANT = "a model that means to refuse a config or inputs raises ValueError"
NO_PAIR = (
    "emptied holds no pair: a pair is a `parity.Pair` at the top of the module itself, or of a module called pair, "
    "pairs or pairs_* inside a package"
)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("list emptied", NO_PAIR),
        ("faults emptied", NO_PAIR),
        ("list offending:RAISES", "'offending:RAISES': expected the name of a package or module, such as my.module"),
        ("check offending.py:RAISES", "'offending.py': expected the name of a package or module, such as my.module"),
        (
            "list needing",
            (
                "needing cannot be imported: ModuleNotFoundError: No module named 'not_installed_anywhere', "
                "at {folder}/needing.py:1 (<module>)"
            ),
        ),
        ("list failing", "failing cannot be imported: KeyError: 'key', at {folder}/failing.py:1 (<module>)"),
        ("list misspelt", "misspelt cannot be imported: SyntaxError: invalid syntax, at {folder}/misspelt.py:1"),
        (
            "list drawing_less",
            (
                "configs(Sizes): missing a required argument: 'width'; each field without a default needs a strategy, "
                "given are depth"
            ),
        ),
        (
            "check offending:RAISES",
            f"pair 'it' [nnx]: KeyError: 'state', at {{folder}}/offending.py:10 (forward); {MEANT}",
        ),
        (
            "check offending:INPUTS",
            (
                "pair 'it' [nnx]: AttributeError: 'NoneType' object has no attribute 'width', "
                f"at {{folder}}/offending.py:21 (<lambda>); {MEANT}"
            ),
        ),
        ("check offending:METHOD", "method='encode': torch.nn.modules.linear.Linear has none"),
        (
            "check offending:TORCH",
            (
                "candidate of type torch.nn.modules.linear.Linear: expected an NNX, linen or Equinox module, (linen "
                "module, variables), (haiku transformed, parameters), a function, or (function, params)"
            ),
        ),
        (f"check {RIGHT} --seed {2**63}", f"seed={2**63}: expected a number of 63 bits"),
    ],
)
def test_a_mistake_in_somebody_s_own_code_is_told_in_a_line(
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: str,
    message: str,
) -> None:
    for name, code in MODULES.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    expected = f"parity: {message.format(folder=tmp_path)}\n"
    assert call(monkeypatch, capsys, *words.split()) == (2, "", expected)


def test_a_mistake_of_the_harness_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.survey.examine", {}.__getitem__)  # takes no such arguments
    with pytest.raises(TypeError):
        check(CLAIM, examples=1)


FORMATS = "precision 'fp32': expected one of float64, float32, bfloat16, float16"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda wrong: compare(torch.nn.GELU(), lambda x: x, [1.0], carry=None, precision=wrong("fp32")), FORMATS),
        (lambda wrong: check(CLAIM, precision=wrong("fp32")), FORMATS),
        (lambda _: check(CLAIM, examples=-3), "examples=-3: expected 1 or more"),
        (
            lambda wrong: compare(torch.nn.GELU(), lambda x: x, [1.0], carry=None, checks=wrong("forward")),
            "checks: expected a tuple of names, got 'forward'",
        ),
        (
            lambda wrong: check(CLAIM, checks=wrong("forward")),
            "pair 'right': checks: expected a tuple of names, got 'forward'",
        ),
        (
            lambda wrong: replace(CLAIM, checks=wrong("forward")),
            "pair 'right': checks: expected a tuple of names, got 'forward'",
        ),
    ],
)
def test_an_argument_that_cannot_be_used_is_refused_with_its_value(
    asked: Callable[[Callable[[str], Any]], object], message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        asked(lambda text: text)
    assert str(refused.value) == message
