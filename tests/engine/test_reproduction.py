"""A failure is seen again in another process: the same draws, and a command that leads to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT
from tests.engine.claims import ready_for_pytester  # noqa: F401  # a fixture of this module's tests

DRAWS = """
import sys
sys.path[:0] = sys.argv[1:]
if sys.argv[1:]:
    import constants
from hypothesis import strategies as st
from parity import Pair, configs, explore, real
from parity.explore import Budget

drawn = configs(dict, width=st.integers(1, 10**9), rate=st.floats(0, 1e6), name=st.text(max_size=5))
pair = Pair(
    name="drawn",
    reference=None,
    candidates={"nnx": None},
    configs=drawn,
    inputs=lambda config: st.integers(1, 10**6).map(lambda n: (real(n % 7 + 1),)),
)

explore.open_session = lambda *args, **options: object()
explore.Trial = lambda session, example, precision: (example.profile, example.seed)
explore.explore(pair, "nnx", "float64", Budget(40, 6, 3), lambda case, trial: print(case, *trial))
"""


def _draws(folder: Path, hash_seed: str, *found: Path) -> list[str]:
    """What a process draws that works in a folder and looks for modules of its own in others."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed}
    words = [sys.executable, "-c", DRAWS, *map(str, found)]
    return subprocess.run(
        words, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.splitlines()


def test_other_modules_change_no_draw(tmp_path: Path) -> None:
    numbers = [7919 * n + 77 for n in range(500)]
    (tmp_path / "constants.py").write_text(f"WHOLE = {numbers}\nREAL = {[n / 64 for n in numbers]}\n")
    alone, beside = _draws(tmp_path, "1"), _draws(tmp_path, "2", tmp_path)
    assert len(set(alone)) == 40
    assert alone == beside


PORT = """
import parity
from hypothesis import strategies as st
from sizes import WIDTH
from tests.engine.checks.ports import Net, Port
import jax.numpy as jnp

PAIR = parity.Pair(
    name="port",
    reference=lambda config: Net(),
    candidates={"nnx": lambda config: Port(lambda x: jnp.clip(jnp.tanh(x), -0.999, 0.999))},
    inputs=lambda config: st.integers(1, 10**6).map(lambda rows: (parity.real(rows % 5 + 1, WIDTH),)),
    modes=("eval",),
    checks=("forward",),
)

test_port = parity.as_test(PAIR)
"""


def test_the_printed_command_repeats_the_failure_of_a_suite(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("suite")
    (folder / "sizes.py").write_text("WIDTH = 5\n")
    (folder / "test_port.py").write_text(PORT)
    words = "suite", "-p", "no:cacheprovider", "--import-mode=prepend", "--parity-report", "found", "--parity-seed", "5"
    pytester.runpytest_inprocess(*words).assert_outcomes(failed=1)
    found = json.loads((pytester.path / "found" / "parity.json").read_text())
    command = found.pop("reproduce")
    assert command.startswith("PYTHONPATH=suite python -m parity check test_port:PAIR --candidate nnx ")
    fresh = command.replace("PYTHONPATH=suite python", f"PYTHONPATH=suite:{ROOT} {sys.executable}")
    again = subprocess.run(
        f"{fresh} --json again.json", cwd=pytester.path, shell=True, check=False, capture_output=True
    )
    assert again.returncode == 1, again.stderr
    repeated = json.loads((pytester.path / "again.json").read_text())
    assert repeated.pop("reproduce").startswith("python -m parity check test_port:PAIR")
    assert repeated == found
