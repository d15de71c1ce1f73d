"""Contrastive losses: twins agree, windows are Python's slices, equal widths share one network."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch
from flax import nnx
from jax import numpy as jnp

import models.networks.jax
import models.networks.torch
from models.networks import ContrastiveLearningConfig, LinearConfig, MLPConfig
from models.networks.modules_nnx import Identity
from models.networks.windows import window_mask
from tests.models.networks.live_cases import live_case
from tests.models.networks.replay import run_nnx, worst_errors

BOUND = 1e-12
RNG = np.random.default_rng(9)
MLP = MLPConfig(4, 1, "Identity", LinearConfig("Tanh"))
CFG = ContrastiveLearningConfig(5, MLP)
F1, F2 = RNG.standard_normal((2, 4, 3)), RNG.standard_normal((2, 4, 6))
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "nce": ("calc_nce", {}),
    "sigmoid": ("calc_sigmoid", {"temperature": 0.7, "bias": -0.3, "return_emb": True}),
    "series without a range": ("calc_timeseries_nce", {}),
    "series, self": ("calc_timeseries_nce", {"positive_range_self": 2, "return_emb": True}),
    "series, both": ("calc_timeseries_nce", {"positive_range_self": 3, "positive_range_tgt": 2}),
    "series, clamped": ("calc_timeseries_nce", {"positive_range_tgt": 1, "clamp_windows": True}),
}


def arguments(cfg: ContrastiveLearningConfig = CFG, dim_input2: int = 6) -> dict[str, Any]:
    return {"dim_input1": 3, "dim_input2": dim_input2, "cfg": cfg}


@pytest.mark.parametrize("name", CALLS)
def test_twins_agree(name):
    method, options = CALLS[name]
    case = live_case("ContrastiveLearningLoss", arguments(), F1, F2, method=method, call_kwargs=options)
    errors = worst_errors(case, run_nnx(case))
    assert max(errors.values()) < BOUND, errors


def test_twins_agree_on_the_cross_entropy_with_one_network():
    cfg = ContrastiveLearningConfig(5, MLP, cross_entropy_like=True)
    other = RNG.standard_normal((2, 4, 3))
    case = live_case("ContrastiveLearningLoss", arguments(cfg, 3), F1, other, method="calc_nce")
    assert [key.startswith("eval_func2.") for key in case.aliases] == [True] * 4
    assert [out.shape for out in case.outputs] == [(8,)]
    errors = worst_errors(case, run_nnx(case))
    assert max(errors.values()) < BOUND, errors


def test_the_twin_holds_a_shared_network_once():
    loss = models.networks.jax.ContrastiveLearningLoss(**arguments(dim_input2=3), rngs=0)
    assert {path[0] for path, _ in nnx.to_flat_state(nnx.state(loss))} == {"eval_func"}


@pytest.mark.parametrize("library", [models.networks.torch, models.networks.jax])
def test_the_results_come_in_their_order_and_shapes(library):
    torch_side = library is models.networks.torch
    streams = {} if torch_side else {"rngs": 0}
    make = torch.tensor if torch_side else jnp.asarray
    loss = library.ContrastiveLearningLoss(**arguments(), **streams)
    f1, f2 = (make(np.asarray(f, np.float32)) for f in (F1, F2))
    nce, (e1, e2) = loss.calc_nce(f1, f2, return_emb=True)
    assert list(nce) == ["positive", "negative", "nce"]
    assert (nce["nce"].shape, e1.shape, e2.shape) == ((2, 4), (8, 5), (8, 5))
    assert nce["nce"].mean().item() == pytest.approx((nce["negative"] - nce["positive"]).item(), rel=1e-4, abs=1e-6)
    series, (e1, _) = loss.calc_timeseries_nce(f1, f2, 2, 2, return_emb=True)
    assert list(series) == [
        "positive",
        "self_positive_1",
        "self_positive_2",
        "tgt_positive",
        "negative",
        "nce",
    ]
    assert (series["nce"].shape, e1.shape) == ((), (2, 4, 5))


@pytest.mark.parametrize("length", [1, 2, 5, 8])
@pytest.mark.parametrize("reach", [1, 2, 4, 9])
def test_windows_are_pythons_slices(length, reach):
    steps = list(range(length))
    mask = window_mask(length, reach)
    assert [np.flatnonzero(row).tolist() for row in mask] == [steps[j - reach : j + reach + 1] for j in steps]
    clamped = window_mask(length, reach, clamp=True)
    assert [np.flatnonzero(row).tolist() for row in clamped] == [
        [k for k in steps if abs(j - k) <= reach] for j in steps
    ]


@pytest.mark.parametrize("library", [models.networks.torch, models.networks.jax])
def test_long_series_are_nan_unless_clamped(library):
    torch_side = library is models.networks.torch
    streams = {} if torch_side else {"rngs": 0}
    ones = torch.ones if torch_side else lambda *shape: jnp.ones(shape)
    loss = library.ContrastiveLearningLoss(**arguments(), **streams)
    assert np.isnan(loss.calc_timeseries_nce(ones(2, 5, 3), ones(2, 5, 6), 2)["nce"].item())
    assert np.isfinite(loss.calc_timeseries_nce(ones(2, 4, 3), ones(2, 4, 6), 2)["nce"].item())
    clamped = loss.calc_timeseries_nce(ones(2, 5, 3), ones(2, 5, 6), 2, clamp_windows=True)
    assert np.isfinite(clamped["nce"].item())


def test_the_series_sums_the_means_of_its_windows():
    """The definition, written with loops."""
    loss = models.networks.torch.ContrastiveLearningLoss(**arguments())
    f1, f2 = torch.tensor(F1, dtype=torch.float32), torch.tensor(F2, dtype=torch.float32)
    with torch.no_grad():
        found, (e1, e2) = loss.calc_timeseries_nce(f1, f2, 2, 3, return_emb=True)
    pairs = [(e1, e1, 2), (e2, e2, 2), (e1, e2, 3)]
    positive = [
        [e1[b, j] @ e2[b, j] + sum((p[b] @ q[b].T)[j][j - r : j + r + 1].mean() for p, q, r in pairs) for j in range(4)]
        for b in range(2)
    ]
    negative = torch.logsumexp(e1.reshape(8, 5) @ e2.reshape(8, 5).T, -1) - np.log(8)
    expected = (negative - torch.tensor(positive).reshape(-1)).mean()
    torch.testing.assert_close(found["nce"], expected)


@pytest.mark.parametrize("cross_entropy_like", [False, True])
@pytest.mark.parametrize("size", [1e-7, 1e-3, 1.0, 30.0])
def test_losses_of_near_equal_scores_keep_their_digits(size, cross_entropy_like):
    embeddings = np.random.default_rng(3).standard_normal((2, 7, 5))
    embeddings[1] *= size
    e1, e2 = embeddings.astype(np.longdouble)
    scores = e1 @ e2.T
    gaps = scores - scores.diagonal()[:, None]
    truth = np.log1p(np.expm1(gaps).mean(-1))
    cfg = ContrastiveLearningConfig(5, MLP, cross_entropy_like=cross_entropy_like)
    reference = models.networks.torch.ContrastiveLearningLoss(5, 5, cfg)
    reference.eval_func = reference.eval_func2 = torch.nn.Identity()
    candidate = models.networks.jax.ContrastiveLearningLoss(5, 5, cfg, rngs=0)
    candidate.eval_func = Identity()
    found = [reference.calc_nce(*map(torch.tensor, embeddings))["nce"].numpy()]
    with jax.enable_x64(True):
        found.append(np.asarray(candidate.calc_nce(*map(jnp.asarray, embeddings))["nce"]))
    errors = [float(np.abs(nce - truth).max() / np.abs(truth).max()) for nce in found]
    assert max(errors) < 1e-14, errors
