"""Options that the recordings leave out, combined: torch against both JAX versions, all quantities of both passes."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch

from models.tidhy.config import TiDHyConfig
from models.tidhy.torch import TiDHy
from tests.models.tidhy.recordings import Recording
from tests.models.tidhy.replay_jax import Leaves, Linen, Nnx, compiled
from tests.models.tidhy.weights import carried

pytestmark = pytest.mark.usefixtures("float64")

SIZES: dict[str, Any] = {
    "input_dim": 5,
    "r_dim": 4,
    "r2_dim": 3,
    "mix_dim": 2,
    "hyper_hid_dim": 7,
    "r2_decoder_hid_dim": 6,
    "lr_r": 0.05,
    "lr_r2": 0.02,
    "temp_weight": 1.3,
    "tol": 0.02,
}
COMBINATIONS: dict[str, dict[str, Any]] = {
    "l1": {"L1_inf_w": 0.01, "L1_inf_r": 0.02, "L1_inf_r2": 0.03, "max_iter": 25, "batch_converge": True},
    "shrinkage": {"lmda_r": 0.01, "lmda_r2": 0.005, "use_r2_decoder": True, "max_iter": 40, "batch_converge": False},
    "bce": {"loss_type": "BCE", "dyn_bias": True, "low_rank_temp": True, "stateful": True, "max_iter": 15},
    "bce balanced": {"loss_type": "BCE", "nonlin_decoder": True, "grad_norm_inf": True, "grad_alpha_inf": 0.5},
    "poisson balanced": {"loss_type": "Poisson", "dyn_bias": True, "grad_norm_inf": True, "use_r2_decoder": True},
    "unstarted dynamics": {"loss_type": "unknown", "tol": 1e9, "max_iter": 10},
}
TOLERANCE = 1e-12


@pytest.mark.parametrize("options", COMBINATIONS.values(), ids=COMBINATIONS)
@pytest.mark.parametrize("framework", [Nnx, Linen])
def test_both_passes_agree(framework: type[Nnx | Linen], options: dict[str, Any]) -> None:
    config = TiDHyConfig.from_mapping({"max_iter": 20, **SIZES, **options})
    model, X = _reference(config), _data(config)
    expected = _torch_quantities(model, torch.from_numpy(X))
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    actual = _jax_quantities(framework(Recording(config, state, {"X": X}, {})), state, X)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        if name.endswith(("n_iter", "stored")):
            np.testing.assert_array_equal(actual[name], value)
        else:
            bound = TOLERANCE * np.abs(value).max(initial=1e-300)
            np.testing.assert_allclose(actual[name], value, rtol=0, atol=bound, err_msg=name)


def _reference(config: TiDHyConfig) -> TiDHy:
    torch.manual_seed(7)
    model = TiDHy(config)
    if config.loss == "Poisson":
        torch.nn.init.constant_(model.get_parameter("spatial_decoder.0.bias"), 3.0)
    return model


def _data(config: TiDHyConfig) -> np.ndarray:
    rng, shape = np.random.default_rng(11), (3, 4, config.input_dim)
    draws = {"MSE": rng.normal(size=shape), "BCE": rng.uniform(size=shape), "Poisson": rng.poisson(3.0, shape)}
    return draws[config.loss].astype(np.float64)


def _torch_quantities(model: TiDHy, X: torch.Tensor) -> dict[str, np.ndarray]:
    losses = model.sequence_losses(X)
    torch.autograd.backward(list(losses[:4]) if model.config.use_r2_decoder else list(losses[:3]))
    rhat, rbar, temp, records = model.evaluate_record(X)
    found = losses._asdict() | {f"eval/{name}": value for name, value in records.items()}
    found |= {"eval/rhat": rhat, "eval/rbar": rbar, "eval/temp": temp}
    found |= {f"grad/{name}": value.grad for name, value in model.named_parameters()}
    found |= {"stored": torch.tensor([model.r_state is not None, model.r2_state is not None])}
    return {name: value.detach().numpy() for name, value in found.items()}


def _jax_quantities(model: Nnx | Linen, state: dict[str, np.ndarray], X: np.ndarray) -> dict[str, Any]:
    @compiled
    def run(leaves: Leaves) -> dict[str, Any]:
        def loss(leaves: Leaves) -> tuple[Any, Any]:
            result = model.forward(leaves, X)
            return sum(result[0][:4]), result

        gradients, (losses, stored) = jax.grad(loss, has_aux=True)(leaves)
        rhat, rbar, temp, records = model.call(leaves, "evaluate_record", X)
        found = losses._asdict() | {f"eval/{name}": value for name, value in records.items()}
        found |= {"eval/rhat": rhat, "eval/rbar": rbar, "eval/temp": temp, "stored": jax.numpy.array(stored)}
        return found | {f"grad/{name}": carried(name, value) for name, value in gradients.items()}

    return run({name: carried(name, value) for name, value in state.items()})
