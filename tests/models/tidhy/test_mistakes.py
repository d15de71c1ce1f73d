"""Single-line mistakes in a copy of the JAX TiDHy: the parity check fails on each, and not on the copy without one."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import nnx
from hypothesis import strategies as st

import models.tidhy
import parity
import weight_bridge
from models.tidhy import pair as claims
from models.tidhy.config import TiDHyConfig
from models.tidhy.torch import TiDHy as Reference

COPY = "tidhy_copy"

BASE: dict[str, Any] = {
    "input_dim": 7,
    "r_dim": 4,
    "r2_dim": 3,
    "mix_dim": 5,
    "hyper_hid_dim": 11,
    "r2_decoder_hid_dim": 9,
    "max_iter": 20,
    "tol": 1e-9,
    "lr_r": 0.06,
    "lr_r2": 0.03,
}


@dataclass(frozen=True)
class Mistake:
    """One line of one file, as it is and as somebody might write it."""

    name: str
    file: str
    line: str
    mistaken: str
    claim: parity.Pair
    options: dict[str, Any] = field(default_factory=dict)


MISTAKES = (
    Mistake("epsilon 1e-6", "nnx.py", "epsilon=1e-5", "epsilon=1e-6", claims.PREDICTION),
    Mistake(
        "missing milestone",
        "inference_jax.py",
        "lr = jnp.where(n_iter % period == 0, 0.5 * s.lr, s.lr)",
        "lr = jnp.where((n_iter % period == 0) & (n_iter > period), 0.5 * s.lr, s.lr)",
        claims.STEP,
    ),
    Mistake(
        "momentum without Nesterov",
        "inference_jax.py",
        "s.r - s.lr * (g + 0.9 * u)",
        "s.r - s.lr * u",
        claims.STEP,
    ),
    Mistake(
        "AdamW decay 1e-4",
        "inference_jax.py",
        "decayed = s.r * (1 - config.lr_r * 0.01)",
        "decayed = s.r * (1 - config.lr_r * 0.0001)",
        claims.FIRST_STEP,
    ),
    Mistake(
        "MSE for Poisson inside inference",
        "inference_jax.py",
        "spatial = reduced(elementwise_loss(config.loss, networks.decode(r), x))",
        'spatial = reduced(elementwise_loss("MSE", networks.decode(r), x))',
        claims.STEP_POISSON,
        {"loss_type": "Poisson", "lr_r": 0.03},
    ),
    Mistake(
        "gradient flowing into the old iterate",
        "inference_jax.py",
        "networks.decode_r2(s.r, s.r2)",
        "networks.decode_r2(r, r2)",
        claims.STEP,
        {"use_r2_decoder": True},
    ),
    Mistake(
        "no early stop",
        "inference_jax.py",
        "done = _converged(r, s.r, config.tol, whole_batch=config.batch_converge)",
        "done = jnp.zeros((), bool)",
        claims.STEP,
        {"tol": 0.05, "max_iter": 31},
    ),
    Mistake(
        "shrinkage before the step",
        "inference_jax.py",
        "soft_threshold(s.r - s.lr * (g + 0.9 * u), config.lmda_r)",
        "soft_threshold(s.r, config.lmda_r) - s.lr * (g + 0.9 * u)",
        claims.STEP,
        {"lmda_r": 0.01},
    ),
    Mistake(
        "r2's rate also halved",
        "inference_jax.py",
        "config.lr_r2 * (g2 + 0.9 * u2)",
        "config.lr_r2 * (s.lr / config.lr_r) * (g2 + 0.9 * u2)",
        claims.STEP,
    ),
)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package under the name `tidhy_copy`, importable until the test ends."""
    folder = tmp_path / COPY
    shutil.copytree(Path(models.tidhy.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in folder.glob("*.py"):
        file.write_text(file.read_text().replace("models.tidhy", COPY))
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == COPY]:
        del sys.modules[name]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_fails_the_parity_check(mistake: Mistake, copied: Path) -> None:
    assert _edit(copied / mistake.file, mistake.line, mistake.mistaken) == 1
    report = _checked(mistake)
    assert not report.ok
    assert not [r for r in report.results if r.verdict == "structure" and "discrete" not in r.detail], report


@pytest.mark.parametrize(
    "claim", [claims.PREDICTION, claims.FIRST_STEP, claims.STEP, claims.STEP_POISSON], ids=lambda claim: claim.name
)
def test_the_copy_without_a_mistake_passes(claim: parity.Pair, copied: Path) -> None:
    options = next((m.options for m in MISTAKES if m.claim is claim and m.options), {})
    report = _checked(Mistake("none", "", "", "", claim, options))
    assert report.ok, report


@pytest.mark.parametrize("axis", [-1, 0], ids=["right", "wrong normalisation axis"])
def test_a_wrong_normalisation_axis_fails_the_training_steps(axis: int, copied: Path) -> None:
    from models.tidhy.training_parity import train_alike

    edited = _edit(copied / "normalize_jax.py", "axis=-1", f"axis={axis}")
    assert edited == 1
    config = TiDHyConfig(**BASE, normalize_spatial=True, normalize_temporal=True)
    reference, candidate = Reference(config).double(), _mistaken(config)
    plan = weight_bridge.plan(reference.state_dict(), candidate, source=reference)
    batches = [np.random.default_rng(seed).standard_normal((5, 4, 7)) for seed in range(2)]
    assert train_alike(reference, candidate, plan, batches).ok == (axis == -1)


def _checked(mistake: Mistake) -> parity.Report:
    """The report of the copy under the mistake's claim and options."""
    config = TiDHyConfig(**{**BASE, **mistake.options})
    claim = replace(mistake.claim, configs=st.just(config), candidates={"nnx": _mistaken})
    return parity.check(claim, examples=3, diagnose=False)


def _mistaken(config: TiDHyConfig) -> Any:
    """The NNX model of the copy."""
    return importlib.import_module(f"{COPY}.nnx").TiDHy(config, rngs=nnx.Rngs(0))


def _edit(file: Path, line: str, mistaken: str) -> int:
    """Replaces a piece of a line and returns how often it stood there."""
    text = file.read_text()
    file.write_text(text.replace(line, mistaken))
    return text.count(line)
