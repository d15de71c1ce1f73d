"""A few training steps, with every regulariser, in all three versions."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx, traverse_util

import weight_bridge
from models.tidhy import linen as tidhy_linen
from models.tidhy import nnx as tidhy_nnx
from models.tidhy import penalties_torch, training_jax, training_linen, training_nnx, training_torch
from models.tidhy import torch as tidhy_torch
from models.tidhy.config import TiDHyConfig
from models.tidhy.training_config import TrainingConfig
from tests.models.tidhy.weights import carried, linen_path, nnx_path

pytestmark = pytest.mark.usefixtures("float64")

SIZES: dict[str, Any] = {"input_dim": 5, "r_dim": 3, "r2_dim": 2, "mix_dim": 4, "hyper_hid_dim": 7, "max_iter": 10}
CONFIGS = {
    "default": (TiDHyConfig(**SIZES, lr_r2=0.05), TrainingConfig()),
    "all": (
        TiDHyConfig(
            **SIZES,
            lr_r2=0.05,
            use_r2_decoder=True,
            dyn_bias=True,
            nonlin_decoder=True,
            L1_alpha=0.01,
            weight_decay=0.1,
            normalize_spatial=True,
            normalize_temporal=True,
        ),
        TrainingConfig(
            halve_every=2,
            L0_alpha=1.0,
            Lnuc_alpha=0.02,
            L1_alpha_W=0.03,
            L1_alpha_spat=0.04,
            Orth_alpha_spat=0.05,
            Orth_alpha_r2=0.06,
        ),
    ),
    "low rank": (TiDHyConfig(**SIZES, lr_r2=0.05, low_rank_temp=True), TrainingConfig(Orth_alpha_r2=0.5)),
}
STEPS = 3
TOLERANCE = 1e-12


@pytest.mark.parametrize("name", CONFIGS)
def test_steps_agree(name: str) -> None:
    config, training = CONFIGS[name]
    batches = np.random.default_rng(2).normal(size=(STEPS, 3, 4, config.input_dim))
    torch.manual_seed(3)
    model = tidhy_torch.TiDHy(config)
    with torch.no_grad():  # newly initialised rows are orthogonal, which is the kink of |cosine|
        model.temporal.add_(0.1 * torch.randn(model.temporal.shape))
    before = {key: value.detach().clone() for key, value in model.state_dict().items()}
    losses = _torch_steps(model, training, batches)
    after = {key: value.detach().numpy() for key, value in model.state_dict().items()}

    for key, value in after.items():
        assert np.array_equal(before[key], value) == key.startswith("R2_Decoder"), key
    for run in (_nnx_steps, _linen_steps):
        found, weights = run(config, training, before, batches)
        np.testing.assert_allclose(found, losses, rtol=TOLERANCE)
        assert weights.keys() == after.keys()
        for key, value in after.items():
            bound = TOLERANCE * np.abs(value).max()
            np.testing.assert_allclose(weights[key], value, rtol=0, atol=bound, err_msg=f"{run.__name__}: {key}")


def test_small_entries_of_the_dynamics_become_zero() -> None:
    training = TrainingConfig(L0_alpha=1.0)
    temporal = jnp.array([1e-5, -1e-5, 1e-4, 0.5])
    np.testing.assert_array_equal(training_jax.without_small(temporal, training), [0.0, 0.0, 1e-4, 0.5])
    np.testing.assert_array_equal(training_jax.without_small(temporal, TrainingConfig()), temporal)


def test_the_cosine_term_is_the_sum_over_pairs_by_hand() -> None:
    config = TiDHyConfig(**SIZES, cos_eta=2.0)
    model = tidhy_torch.TiDHy(config)
    rows = model.temporal.detach().numpy() + 0.1
    model.temporal.data = torch.tensor(rows)
    pairs = [(i, j) for i in range(4) for j in range(i)]
    cosines = [abs(rows[i] @ rows[j]) / np.linalg.norm(rows[i]) / np.linalg.norm(rows[j]) for i, j in pairs]
    found = sum(penalties_torch.penalties(model, TrainingConfig()))
    np.testing.assert_allclose(torch.as_tensor(found).detach(), 2.0 * sum(cosines) / 4, rtol=1e-12)


def _torch_steps(model: tidhy_torch.TiDHy, training: TrainingConfig, batches: np.ndarray) -> list[float]:
    updates = training_torch.optimiser(model, training)
    return [float(training_torch.training_step(model, updates, torch.from_numpy(X), training)) for X in batches]


def _nnx_steps(config: TiDHyConfig, training: TrainingConfig, state: Any, batches: np.ndarray) -> tuple[Any, Any]:
    model = weight_bridge.load(tidhy_nnx.TiDHy(config, rngs=nnx.Rngs(0)), state)
    updates = training_nnx.Optimiser(model, training)
    run = nnx.jit(partial(training_nnx.training_step, training=training))
    losses = [float(run(model, updates, X)) for X in batches]
    leaves = {"/".join(map(str, path)): np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(nnx.state(model))}
    return losses, {name: carried(name, leaves[nnx_path(name, value.ndim)]) for name, value in state.items()}


def _linen_steps(config: TiDHyConfig, training: TrainingConfig, state: Any, batches: np.ndarray) -> tuple[Any, Any]:
    model = tidhy_linen.TiDHy(config)
    variables: Any = weight_bridge.convert(state, (model, (batches[0],)))
    state_of_optimiser = training_linen.optimiser_state(model, variables, training)
    run = jax.jit(partial(training_linen.training_step, model, training=training))
    losses: list[float] = []
    for X in batches:
        variables, state_of_optimiser, loss = run(variables, state_of_optimiser, X)
        losses.append(float(loss))
    leaves: Any = traverse_util.flatten_dict(variables, sep="/")
    return losses, {name: carried(name, leaves[linen_path(name, value.ndim)]) for name, value in state.items()}
