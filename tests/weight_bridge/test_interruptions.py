"""SIGKILL at moments spread over a conversion, a full disk, a read-only folder: nothing looks finished that is not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.weight_bridge.interruptions import NAME

MOMENTS = 24


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the process saw, with mounts of its own where the system allows them."""
    folder = tmp_path_factory.mktemp("interrupted")
    command = [sys.executable, "-m", "tests.weight_bridge.interruptions", str(folder), str(MOMENTS)]
    alone = ["unshare", "--mount", "--map-root-user"]
    able = (
        shutil.which("unshare") and subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [*alone, *command] if able else command, capture_output=True, text=True, check=False, cwd=root
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_kill_at_any_moment_leaves_nothing_that_looks_finished(found: dict[str, Any]) -> None:
    assert len(found["killed"]) == MOMENTS
    for one in found["killed"]:
        hidden = {name for name in one["left"] if name.startswith(f".{NAME}.") and name.endswith(".partial")}
        assert set(one["left"]) - hidden <= ({NAME} if one["whole"] else set())
    assert any(one["left"] and not one["whole"] for one in found["killed"])  # some were killed while they wrote
    assert sum(one["ended"] == -9 for one in found["killed"]) > MOMENTS // 2


def test_the_run_after_a_killed_one_works_and_clears_up(found: dict[str, Any]) -> None:
    for one in found["killed"]:
        assert one["again"] == 0
        assert one["right"]
        assert set(one["after"]) == {NAME}


@pytest.mark.parametrize(
    ("disk", "reason", "left"),
    [("small", "needs 6", set()), ("filling", "cannot be written: No space left on device", {"other"})],
)
def test_a_full_disk(found: dict[str, Any], disk: str, reason: str, left: set[str]) -> None:
    if found["full"] is None:
        pytest.skip("no small disk can be mounted here: mount namespaces are not allowed")
    seen = found["full"][disk]
    assert seen["ended"] == 3
    assert set(seen["left"]) == left
    assert reason in seen["said"]
    assert seen["said"].endswith("nothing was left behind")


def test_a_disk_that_others_fill_once_room_is_taken(found: dict[str, Any]) -> None:
    if found["full"] is None:
        pytest.skip("no small disk can be mounted here: mount namespaces are not allowed")
    seen = found["full"]["reserved"]
    assert seen["ended"] == 0
    assert set(seen["left"]) == {NAME, "other"}
    assert seen["left"]["other"] < 4 * 2**20


def test_a_read_only_folder(found: dict[str, Any]) -> None:
    if found["read_only"] is None:
        pytest.skip("no folder can be made read-only for root here: mount namespaces are not allowed")
    assert found["read_only"]["ended"] == 3
    assert found["read_only"]["left"] == {}
    assert found["read_only"]["said"].endswith("cannot be written: Read-only file system; nothing was left behind")
