"""The code of `docs/parity.md` runs as it stands and reports what it says; its table has every check."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import parity
from parity.checks import CHECKS

GUIDE = (Path(__file__).parents[2] / "docs" / "parity.md").read_text(encoding="utf-8")
MODELS, CLAIM, ATTENTION = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
REPORTS = re.findall(r"^```text\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def shown(code: str) -> str:
    names: dict[str, Any] = {}
    exec(compile(code, "docs/parity.md", "exec"), names)
    return f"{parity.check(names['BLOCK'])}\n"


def rounded(report: str) -> str:
    """A report with its measured numbers left out, but for those of settings."""
    return re.sub(
        r"(error|:|reference) -?\d\.?[\d.e-]*", r"\1 #", re.sub(r"at \w+(\.\w+)?\[.*?\] \(", "at # (", report)
    )


@pytest.mark.parametrize(
    ("change", "report"),
    [(("", ""), REPORTS[0]), (("LayerNorm(7, rngs", "LayerNorm(7, epsilon=1e-5, rngs"), REPORTS[1])],
    ids=["as it stands", "mended"],
)
def test_the_pair_reports_what_the_guide_shows(change: tuple[str, str], report: str) -> None:
    assert rounded(shown(f"{MODELS}\n{CLAIM}".replace(*change))) == rounded(report)


def test_the_claim_takes_ten_lines() -> None:
    claim = CLAIM.partition("BLOCK = ")[2].splitlines()
    assert len(claim) <= 10


def test_attention_in_the_format_of_its_inputs_keeps_to_float64_where_flax_s_own_does_not() -> None:
    names: dict[str, Any] = {"jnp": jnp, "nnx": nnx, "heads": 2, "width": 6, "rngs": nnx.Rngs(0)}
    exec(compile(ATTENTION, "docs/parity.md", "exec"), names)
    with jax.enable_x64(True):
        query, key, value = jax.random.normal(jax.random.key(0), (3, 1, 5, 2, 3), dtype=float)
        texts = [
            str(jax.make_jaxpr(attend)(query, key, value))
            for attend in (names["attention"], jax.nn.dot_product_attention)
        ]
    assert ["f32[" in text for text in texts] == [False, True]


def test_every_check_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| .* \| .* \|$", GUIDE, re.MULTILINE)
    assert sorted(rows) == sorted(check.name for check in CHECKS)
