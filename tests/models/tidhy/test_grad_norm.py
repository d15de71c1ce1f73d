"""Outer training that balances its losses (`grad_norm`): both JAX versions against torch, and torch by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
import torch
from flax import nnx

import weight_bridge
from models.tidhy import linen as tidhy_linen
from models.tidhy import nnx as tidhy_nnx
from models.tidhy import training_linen, training_nnx
from models.tidhy.balance_torch import Balance
from models.tidhy.config import TiDHyConfig
from models.tidhy.torch import TiDHy
from models.tidhy.training_config import TrainingConfig, balanced_groups
from models.tidhy.training_parity import train_alike
from models.tidhy.training_torch import balanced_losses, optimiser, training_step

pytestmark = pytest.mark.usefixtures("float64")

SIZES: dict[str, Any] = {"input_dim": 5, "r_dim": 3, "r2_dim": 2, "mix_dim": 4, "hyper_hid_dim": 7, "max_iter": 10}
CONFIG = TiDHyConfig(**SIZES, lr_r2=0.05)
TRAINING = TrainingConfig(grad_norm=True)
STILL = TrainingConfig(grad_norm=True, learning_rate_s=0.0, learning_rate_t=0.0, learning_rate_h=0.0)
BATCHES = np.random.default_rng(2).normal(size=(3, 3, 4, 5))
PAIRS = {
    "nnx": (
        replace(CONFIG, grad_alpha=1.5, weight_decay=0.1, normalize_spatial=True, dyn_bias=True),
        TrainingConfig(grad_norm=True, Orth_alpha_r2=0.06, L1_alpha_W=0.03, L1_alpha_spat=0.04, halve_every=2),
    ),
    "linen": (
        replace(CONFIG, lr_weights=0.1, clip_grad=0.5, L1_alpha=0.01, use_r2_decoder=True),
        TrainingConfig(grad_norm=True, Orth_alpha_r2=0.06, Orth_alpha_spat=0.05, L0_alpha=1.0),
    ),
}
BUILD: dict[str, Callable[[TiDHyConfig], Any]] = {
    "nnx": lambda config: tidhy_nnx.TiDHy(config, rngs=nnx.Rngs(0)),
    "linen": tidhy_linen.TiDHy,
}


@pytest.mark.parametrize("framework", BUILD)
def test_steps_agree(framework: str) -> None:
    config, training = PAIRS[framework]
    reference, candidate = _model(config), BUILD[framework](config)
    target = (candidate, (BATCHES[0],)) if framework == "linen" else candidate
    plan = weight_bridge.plan(reference.state_dict(), target, source=reference)
    result = train_alike(reference, candidate, plan, list(BATCHES), training)
    assert result.ok, result
    assert result.leaves == len(BATCHES) * (len(reference.state_dict()) + 2)


def test_two_losses_by_hand() -> None:
    """x² and 3y², whose gradients have the norms 2c₀|x| and 6c₁|y|."""
    x, y = (torch.tensor([value], requires_grad=True) for value in (1.5, -0.5))
    balance = Balance(2, alpha=0.5, lr=0.1, decay=0.2)
    for scale in (1.0, 2.0):  # the second batch's losses are others
        c, losses = balance.weights.numpy(), torch.cat([scale * x**2, 3 * y**2])
        found = balance.gradients(losses, ((x,), (y,)), (x, y))
        slopes = np.array([2 * scale * 1.5, 6 * 0.5])
        norms = c * slopes
        pace = np.array([scale, 1.0]) / np.mean([scale, 1.0])
        side = np.sign(norms - norms.mean() * pace**0.5)
        np.testing.assert_allclose(found[0], [2 * scale * c[0] * (1.5 + side[0])], rtol=1e-14)
        np.testing.assert_allclose(found[1], [6 * c[1] * (-0.5 - side[1])], rtol=1e-14)
        stepped = np.exp(c * (1 - 0.1 * 0.2) - 0.1 * side * slopes / (slopes + 1e-8))
        np.testing.assert_allclose(balance.weights, 2 * stepped / stepped.sum(), rtol=1e-14)


def test_the_weights_of_two_batches_by_hand() -> None:
    config = replace(CONFIG, use_r2_decoder=True, L1_alpha=0.1, grad_alpha=1.5, lr_weights=0.2, weight_decay=0.3)
    model = _model(config)
    updates = optimiser(model, STILL)
    weights, first = np.ones(4), np.ones(4)
    for number, batch in enumerate(BATCHES[:2]):
        losses, norms = _losses_and_norms(model, batch)
        first = losses if number == 0 else first
        pace = losses / first / np.mean(losses / first)
        side = np.sign(weights * norms - np.mean(weights * norms) * pace**1.5)
        loss = training_step(model, updates, torch.from_numpy(batch), STILL)
        np.testing.assert_allclose(loss, weights @ losses, rtol=1e-13)
        stepped = np.exp(weights * (1 - 0.2 * 0.3) - 0.2 * side * norms / (norms + 1e-8))
        weights = weights.sum() * stepped / stepped.sum()
        assert updates.balance is not None
        np.testing.assert_allclose(updates.balance.weights, weights, rtol=1e-13)


@pytest.mark.parametrize(
    "change",
    [{"grad_alpha": 0.0}, {"lr_weights": 0.1}, {"weight_decay": 0.5}, {"clip_grad": 0.01}, {"grad_norm": False}],
)
def test_each_option_counts(change: dict[str, Any]) -> None:
    """`grad_alpha` counts only where it moves a target across its norm, which 0.5 does here and 0 does not."""
    (name,) = change
    if name == "grad_norm":
        changed = _trained(CONFIG, TrainingConfig(**change))
    else:
        changed = _trained(replace(CONFIG, **change), TRAINING)
    assert not np.allclose(_trained(CONFIG, TRAINING), changed, rtol=1e-6)


# the weights of r̂, r̄, the temporal loss and the R2 decoder's loss that an option adds to
@pytest.mark.parametrize(
    ("change", "added"),
    [
        ({"cos_eta": 6.0}, [0, 0, 1, 0]),
        ({"L1_alpha": 0.1}, [1, 1, 1, 1]),
        ({"Lnuc_alpha": 0.1}, [1, 1, 1, 1]),
        ({"L1_alpha_spat": 0.1}, [1, 1, 1, 1]),
        ({"Orth_alpha_spat": 0.1}, [1, 1, 1, 1]),
        ({"Orth_alpha_r2": 0.1}, [0, 0, 0, 1]),
        ({"L1_alpha_W": 0.1}, [0, 0, 0, 0]),
    ],
    ids=lambda case: next(iter(case)),
)
@pytest.mark.parametrize("with_r2", [True, False])
def test_regularisers_belong_to_losses(change: dict[str, float], added: list[int], with_r2: bool) -> None:
    config = replace(CONFIG, use_r2_decoder=with_r2)
    added = added if with_r2 else [*added[:2], 1 if added == [0, 0, 0, 1] else added[2]]
    own = {name: value for name, value in change.items() if name in ("cos_eta", "L1_alpha")}
    others = {name: value for name, value in change.items() if name not in own}
    model, X = _model(config), torch.from_numpy(BATCHES[0])
    before = balanced_losses(model, X, TRAINING).detach()
    model.config = replace(config, **own)
    after = balanced_losses(model, X, replace(TRAINING, **others)).detach()
    more = (after - before).numpy()
    np.testing.assert_allclose(more, np.array(added) * more.max(), atol=1e-12)
    assert (more.max() > 1e-3) == any(added)


@pytest.mark.parametrize(
    ("own", "training", "group"),
    [
        ({}, {}, ("hypernet",)),
        ({"L1_alpha": 0.1}, {"L1_alpha_spat": 0.1}, ("temporal",)),
        ({}, {"L0_alpha": 0.1, "L1_alpha_spat": 0.1}, ("temporal",)),
        ({}, {"L1_alpha_spat": 0.1, "L1_alpha_W": 0.1}, ("spatial_decoder",)),
        ({}, {"L1_alpha_W": 0.1, "Lnuc_alpha": 0.1, "Orth_alpha_r2": 0.1}, ("hypernet",)),
    ],
)
def test_a_sparse_regulariser_takes_the_place_of_the_hypernetwork(
    own: dict[str, Any], training: dict[str, Any], group: tuple[str]
) -> None:
    three = (("spatial_decoder",), ("spatial_decoder", "temporal"), ("temporal", "hypernet"))
    options = TrainingConfig(grad_norm=True, **training)
    assert balanced_groups(replace(CONFIG, **own), options) == three
    assert balanced_groups(replace(CONFIG, use_r2_decoder=True, **own), options) == (*three, group)


def test_an_optimiser_made_with_another_grad_norm_is_refused() -> None:
    expected = (
        "TiDHy: training_step was given grad_norm=True, but its optimiser was made with grad_norm=False; make it and "
        "train with the same TrainingConfig"
    )
    model, X = _model(CONFIG), BATCHES[0]
    with pytest.raises(ValueError) as refusal:
        training_step(model, optimiser(model, TrainingConfig()), torch.from_numpy(X), TRAINING)
    assert str(refusal.value) == expected
    candidate = tidhy_nnx.TiDHy(CONFIG, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError) as refusal:
        training_nnx.training_step(candidate, training_nnx.Optimiser(candidate, TrainingConfig()), X, TRAINING)
    assert str(refusal.value) == expected
    module = tidhy_linen.TiDHy(CONFIG)
    variables: Any = jax.jit(module.init)(jax.random.key(0), X)
    state = training_linen.optimiser_state(module, variables, TrainingConfig())
    with pytest.raises(ValueError) as refusal:
        training_linen.training_step(module, variables, state, X, TRAINING)
    assert str(refusal.value) == expected


def _model(config: TiDHyConfig) -> TiDHy:
    torch.manual_seed(3)
    model = TiDHy(config)
    with torch.no_grad():  # newly initialised rows are orthogonal, which is the kink of |cosine|
        model.temporal.add_(0.1 * torch.randn(model.temporal.shape))
    return model


def _trained(config: TiDHyConfig, training: TrainingConfig) -> np.ndarray:
    """All parameters after two batches, of which the second is larger, so that the losses change unequally."""
    model = _model(config)
    updates = optimiser(model, training)
    for batch in (BATCHES[0], 3 * BATCHES[1]):
        training_step(model, updates, torch.from_numpy(batch), training)
    return torch.cat([value.detach().ravel() for value in model.parameters()]).numpy()


def _losses_and_norms(model: TiDHy, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The four losses with an L1 norm in each, and how strong each is, from one plain backward pass each."""
    rhat, rbar, temp, r2_losses, _, _ = model(torch.from_numpy(batch))
    rows = torch.nn.functional.normalize(model.temporal, dim=1)
    cosine = 5.0 / 4 * sum((rows[i] @ rows[j]).abs() for i in range(4) for j in range(i))
    sparse = 0.1 * model.temporal.abs().sum()
    losses = [rhat + sparse, rbar + sparse, temp + cosine + sparse, r2_losses + sparse]
    decoder, network = list(model.spatial_decoder.parameters()), list(model.hypernet.parameters())
    groups = [decoder, [*decoder, model.temporal], [model.temporal, *network], [model.temporal]]
    norms: list[float] = []
    for loss, group in zip(losses, groups, strict=True):
        model.zero_grad()
        torch.autograd.backward(loss, retain_graph=True)
        norms.append(sum(float(np.linalg.norm(value.grad)) for value in group if value.grad is not None))
    return torch.stack(losses).detach().numpy(), np.array(norms)
