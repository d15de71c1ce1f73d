"""With the recorded noise, distributions give the recorded samples and gradients in both frameworks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from jax import numpy as jnp

import models.networks.torch
from models.networks import draws_torch
from tests.models.networks.cases import Case, load
from tests.models.networks.replay import run_nnx, run_torch, torch_float64, worst_errors

BOUND = 1e-10
CASES = {"distribution_normal": 3, "distribution_categorical": 4, "distribution_bernoulli": 5}  # and torch's seed


def with_noise(case: Case, convert: Any) -> Any:
    (noise,) = case.noise.values()
    return lambda module, x: module(x, **case.call_kwargs, noise=convert(noise))


@pytest.mark.parametrize("name", CASES)
def test_torch_reproduces_a_sample_from_its_noise(name, record_property):
    case = load(name)
    errors = worst_errors(case, run_torch(case, with_noise(case, torch.tensor)))
    record_property("errors", errors)
    assert max(errors.values()) < BOUND, errors


@pytest.mark.parametrize("name", CASES)
def test_nnx_reproduces_a_sample_from_its_noise(name, record_property):
    case = load(name)
    errors = worst_errors(case, run_nnx(case, with_noise(case, jnp.asarray)))
    record_property("errors", errors)
    assert max(errors.values()) < BOUND, errors


@pytest.mark.parametrize(("name", "seed"), CASES.items())
def test_torch_draws_the_recorded_noise_from_the_recorded_seed(name, seed):
    case = load(name)
    with torch_float64():
        module = models.networks.torch.Distribution(**case.arguments)
        torch.manual_seed(seed)
        stoch = module(torch.tensor(case.inputs[0]), **case.call_kwargs)
    assert torch.allclose(stoch.stoch, torch.tensor(case.outputs[2]), rtol=BOUND, atol=0)


def test_a_replaced_draw_reaches_every_sample(monkeypatch):
    ones = torch.ones(2, 3, dtype=torch.float64)
    monkeypatch.setattr(draws_torch, "standard_normal", lambda like: ones.to(like))
    stoch = models.networks.torch.Distribution(3, "normal")(torch.zeros(2, 6))
    assert torch.equal(stoch.stoch, stoch.mean + stoch.std)
