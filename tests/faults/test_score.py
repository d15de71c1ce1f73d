from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.catalogue.metrics.faults import FAULTS
from parity import UsageError
from parity._cli import app
from parity.faults import Fault, Outcome, Score, setting
from parity.faults.discovery import _refuse_twins, pairs_and_faults
from parity.faults.kept import keeping, kept
from parity.faults.run import run
from parity.faults.table import text

CAUGHT = Outcome(
    "gelu-tanh-default", "activations", "a.b", "gelu", True, "forward", "float64", "", "gelu", True, "gelu", True
)
SURVIVED = Outcome("norm-ddof", "norms", "a.c", "norm", False)
EQUIVALENT = Outcome("bn-momentum", "norms", "a.d", "norm", True, equivalent=True)


def test_equivalent_faults_are_listed_and_not_counted() -> None:
    score = Score((CAUGHT, SURVIVED, EQUIVALENT))
    data = score.to_dict()
    assert data["total"] == {"faults": 2, "practice": 1, "caught": 1, "located": 1, "named": 1}
    assert data["survivors"] == ["norm-ddof in a.c"]
    assert data["equivalent"] == ["bn-momentum in a.d"]
    assert data["ok"] is False


def test_the_table_names_what_survived() -> None:
    shown = text(Score((CAUGHT, SURVIVED, EQUIVALENT), accused=("a.e in float64: forward",)))
    assert "activations" in shown
    assert "survived: 1\n  norm-ddof in a.c" in shown
    assert "change nothing that can be observed: 1\n  bn-momentum in a.d" in shown
    assert "fail as they are, so that faults in them prove nothing: 1\n  a.e in float64: forward" in shown


def test_an_id_stands_for_one_fault() -> None:
    first, *_ = FAULTS
    with pytest.raises(UsageError) as caught:
        _refuse_twins([first, first])
    assert str(caught.value) == f"two faults are called '{first.id}': {first.title}; {first.title}"


def test_a_fault_says_where_it_goes_or_how_to_find_it() -> None:
    with pytest.raises(UsageError) as caught:
        Fault(id="lost", title="nowhere", edit=setting(epsilon=1.0))
    assert str(caught.value) == "fault 'lost': give either `where`, a path, or `sites`, which finds one"


def test_one_pair_brings_its_own_faults() -> None:
    pairs, faults = pairs_and_faults("models.catalogue.metrics.pair:STATISTICS", generic=False)
    assert [pair.name for pair in pairs] == ["metrics.statistics"]
    assert [fault.id for fault in faults] == [fault.id for fault in FAULTS]


def test_a_package_that_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"no module named 'models\.nowhere'"):
        pairs_and_faults("models.nowhere")


def test_a_run_goes_on_where_an_earlier_one_stopped(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.json"
    assert kept(file) == {}
    seen: list[Outcome] = []
    keeping(file, {("a", "b"): SURVIVED}, seen.append)(CAUGHT)
    assert seen == [CAUGHT]
    assert list(kept(file).values()) == [SURVIVED, CAUGHT]
    pairs, faults = pairs_and_faults("models.catalogue.metrics.pair:OVER_BATCHES", generic=False)
    own = [fault for fault in faults if fault.pairs[0] is pairs[0]]
    known = {(f.id, pairs[0].name): replace(CAUGHT, fault=f.id) for f in own}
    assert run(pairs, own, known=known, progress=seen.append).outcomes == tuple(known.values())
    assert seen == [CAUGHT], "nothing was injected again"


def test_a_file_of_something_else_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text('[{"ok": true}]')
    with pytest.raises(UsageError, match=r"report\.json holds no outcomes of `parity faults`: .*'ok'"):
        kept(file)


def test_a_group_that_is_not_there_is_refused() -> None:
    found = CliRunner().invoke(app, ["faults", "models.catalogue.metrics", "--no-generic", "--group", "metric"])
    assert found.exit_code == 2
    assert "'metric': expected one of metrics" in found.output


def test_the_command_writes_the_score_and_exits_by_it(tmp_path: Path) -> None:
    file = tmp_path / "score.json"
    pair = "models.catalogue.metrics.pair:OVER_BATCHES"
    options = ["--no-generic", "--examples", "2", "--json", str(file)]
    found = CliRunner().invoke(app, ["faults", pair, *options])
    score = json.loads(file.read_text())
    assert found.exit_code == (0 if score["ok"] else 1), found.output
    assert {o["fault"] for o in score["outcomes"]} == {"metric-mean-of-batches", "perplexity-order"}
    assert all(o["caught"] == "forward" for o in score["outcomes"])
    assert "metrics" in found.output
