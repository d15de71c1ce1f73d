"""Seeds fix what they say; codes of numbers and rescaled images agree and refuse."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from jax import numpy as jnp
from torch.utils.data import DataLoader

import models.networks.jax
import models.networks.torch
from models.networks import SoftmaxTransConfig
from tests.models.networks.both_sides import SIDES, array, worst_error


@pytest.fixture(autouse=True)
def _process_left_as_found():
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cudnn = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    precision = torch.get_float32_matmul_precision()
    yield
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn
    torch.set_float32_matmul_precision(precision)


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_torch_seeds_repeat_every_stream():
    models.networks.torch.torch_fix_seed(3)
    first = draws()
    models.networks.torch.torch_fix_seed(3)
    assert draws() == first
    models.networks.torch.torch_fix_seed(4)
    assert all(a != b for a, b in zip(draws(), first, strict=True))
    assert torch.get_float32_matmul_precision() == "medium"
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic) == (False, True)


class Noise(torch.utils.data.Dataset):
    """Each item is what its worker draws from torch, numpy and `random`."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([random.random(), np.random.random(), torch.rand(()).item()])


@pytest.mark.slow
def test_torch_seeds_reach_the_workers_of_a_loader():
    def loaded(seed: int) -> torch.Tensor:
        models.networks.torch.torch_fix_seed(seed)
        # Workers are spawned: JAX is loaded here, and forking a process with its threads may hang.
        return torch.cat(list(DataLoader(Noise(), num_workers=1, multiprocessing_context="spawn")))

    first = loaded(3)
    assert torch.equal(first, loaded(3))
    assert not (first == loaded(4)).any()


def test_jax_seeds_return_a_key():
    key = models.networks.jax.jax_fix_seed(3)
    first = random.random(), float(np.random.random())
    assert key.tolist() == [0, 3]
    models.networks.jax.jax_fix_seed(3)
    assert (random.random(), float(np.random.random())) == first
    assert models.networks.jax.jax_fix_seed().tolist() == [0, 42]


CODE = SoftmaxTransConfig(vector=7, sigma=0.05, n_ignore=2, max=2.0, min=-1.5)


def test_codes_agree_and_lead_back():
    x = np.random.default_rng(3).uniform(-1.2, 1.7, (4, 3, 5))
    for name in ("transform", "__call__"):
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # the grid is made in the default dtype
        try:
            error = worst_error(lambda library, x, n=name: getattr(library.SoftmaxTransformation(CODE), n)(x), x)
            back = worst_error(lambda library, x: (c := library.SoftmaxTransformation(CODE)).inverse(c(x)), x)
        finally:
            torch.set_default_dtype(before)
        assert max(error, back) < 1e-12


@pytest.mark.parametrize("library", SIDES)
def test_codes_are_laid_out_number_by_number_with_the_ignored_last(library):
    code = library.SoftmaxTransformation(CODE)
    x = array(library, np.array([[0.25, -1.5, 9.0, 8.0]]))
    made = np.asarray(code(x))
    assert code.get_transformed_dim(4) == made.shape[-1] == 16
    assert made[0, 14:].tolist() == [9.0, 8.0]
    grid = np.linspace(-1.5, 2.0, 7)
    for number, part in ((0.25, made[0, :7]), (-1.5, made[0, 7:14])):
        weights = np.exp(-((number - grid) ** 2) / 0.05)
        np.testing.assert_allclose(part, weights / weights.sum(), rtol=1e-4, atol=1e-7)
    wide = library.SoftmaxTransformation(SoftmaxTransConfig(vector=9, sigma=0.1))
    np.testing.assert_allclose(wide.inverse(wide(array(library, [0.3, -0.5]))), [0.3, -0.5], atol=1e-2)


@pytest.mark.parametrize("library", SIDES)
def test_images_are_rescaled(library):
    image = array(library, np.linspace(0, 2, 12).reshape(3, 2, 2))
    made = library.MinMaxNormalize(-1.0, 3.0, old_max=2.0)(image)
    np.testing.assert_allclose(made, np.linspace(-1, 3, 12).reshape(3, 2, 2), atol=1e-6)
    with pytest.raises(ZeroDivisionError):
        library.MinMaxNormalize(0.0, 1.0, old_min=1.0)


def test_torch_rescales_float_images_of_three_channels_alone():
    normalize = models.networks.torch.MinMaxNormalize(-1.0, 1.0)
    for bad in (torch.zeros(1, 4, 4), torch.zeros(3, 4), torch.zeros(3, 4, 4, dtype=torch.uint8)):
        with pytest.raises(ValueError) as refusal:
            normalize(bad)
        assert str(refusal.value) == (
            f"MinMaxNormalize: expected float images (*, 3, H, W), got {bad.dtype} of shape {tuple(bad.shape)}"
        )
    assert models.networks.jax.MinMaxNormalize(-1.0, 1.0)(jnp.zeros(5)).tolist() == [-1.0] * 5
