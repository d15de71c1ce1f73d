"""Distributions: twins agree given shared noise on every path, draw on their own otherwise, and refuse alike."""

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
from tests.models.networks.live_cases import live_case
from tests.models.networks.replay import run_nnx, worst_errors

BOUND = 1e-12
SIDES = (models.networks.torch, models.networks.jax)


def build(library: Any, *args: Any, **kwargs: Any) -> Any:
    streams = {"rngs": 0} if library is models.networks.jax else {}
    return library.Distribution(*args, **kwargs, **streams)


def array(library: Any, values: Any) -> Any:
    values = np.asarray(values, np.float32)
    return torch.tensor(values) if library is models.networks.torch else jnp.asarray(values)


def shared(noise: np.ndarray, **call_kwargs: Any) -> Any:
    """Call with the noise as an array of the input's framework."""

    def call(module: Any, x: Any) -> Any:
        own = torch.tensor(noise) if isinstance(x, torch.Tensor) else jnp.asarray(noise)
        return module(x, **call_kwargs, noise=own)

    return call


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize(("dist", "groups"), [("categorical", 3), ("bernoulli", 2), ("bernoulli", 1)])
def test_twins_agree_given_the_noise(dist, groups, spherical, deterministic):
    rng = np.random.default_rng(groups)
    x = rng.standard_normal((5, 2, 6))
    shape = (5, 2, groups, 6 // groups)
    noise = rng.integers(0, 2, shape) if dist == "bernoulli" else np.eye(2)[rng.integers(0, 2, shape[:-1])]
    arguments = {"in_dim": 6, "dist": dist, "n_groups": groups, "spherical": spherical}
    call = shared(noise.astype(np.float64), deterministic=deterministic, inv_tmp=0.7)
    case = live_case("Distribution", arguments, x, call=call)
    assert set(case.state) == ({"codebook.mask"} if spherical else set())
    errors = worst_errors(case, run_nnx(case, call))
    assert max(errors.values()) < BOUND, errors
    if not deterministic:
        assert np.abs(case.outputs[2] - _sample(noise, dist, spherical)).max() < BOUND


def _sample(noise: np.ndarray, dist: str, spherical: bool) -> np.ndarray:
    """The noise itself is the sample's value; the probabilities give it a gradient and nothing else."""
    if spherical and dist == "bernoulli":
        noise = (2 * noise - 1) / np.sqrt(noise.shape[-1])
    elif spherical:
        noise = 2 * noise - 1
    return noise.reshape(*noise.shape[:-2], -1)


@pytest.mark.parametrize("library", SIDES)
def test_logits_are_scaled_for_bits_alone(library):
    x = array(library, [[1.0, -2.0]])
    assert np.array_equal(build(library, 2, "categorical")(x, inv_tmp=0.5).logits, [[[1.0, -2.0]]])
    assert np.array_equal(build(library, 2, "bernoulli")(x, inv_tmp=0.5).logits, [[[0.5, -1.0]]])


@pytest.mark.parametrize("library", SIDES)
def test_four_spherical_bits_are_all_zero_when_deterministic(library):
    dist = build(library, 8, "bernoulli", n_groups=2, spherical=True)
    stoch = dist(array(library, np.full((3, 8), 9.0)), deterministic=True)
    np.testing.assert_allclose(stoch.stoch, 0, atol=1e-6)
    three = build(library, 6, "bernoulli", n_groups=2, spherical=True)(
        array(library, np.full((3, 6), 90.0)), deterministic=True
    )
    np.testing.assert_allclose(three.stoch, 1, atol=1e-6)


@pytest.mark.parametrize("library", SIDES)
def test_the_standard_deviation_uses_the_threshold_of_softplus(library):
    stoch = build(library, 1, "normal")(array(library, [[3.0, 25.0]]), deterministic=True)
    assert float(stoch.std[0, 0]) == np.float32(25.0) + np.float32(1e-6)
    assert float(stoch.stoch[0, 0]) == 3.0


@pytest.mark.parametrize("library", SIDES)
@pytest.mark.parametrize(
    ("args", "width", "error", "message"),
    [
        (
            (4, "normal"),
            4,
            AssertionError,
            "Distribution: expected 4 means and as many raw deviations, got 4 values",
        ),
        ((4, "bernoulli"), 6, ValueError, "Distribution: expected 4 logits on the last axis, got 6"),
    ],
)
def test_another_width_is_refused(library, args, width, error, message):
    with pytest.raises(error) as refusal:
        build(library, *args)(array(library, np.zeros((2, width))))
    assert str(refusal.value).splitlines()[0] == message


@pytest.mark.parametrize("library", SIDES)
def test_arguments_are_refused(library):
    with pytest.raises(NotImplementedError) as kind:
        build(library, 4, "gamma")
    assert str(kind.value) == "Distribution: dist must be one of normal, categorical, bernoulli, got 'gamma'"
    with pytest.raises(ValueError) as groups:
        build(library, 7, "categorical", n_groups=2)
    assert str(groups.value) == "Distribution: n_groups=2 must divide in_dim=7"
    assert build(library, 7, "normal", n_groups=2).in_dim == 7


@pytest.mark.parametrize("library", SIDES)
@pytest.mark.parametrize("dist", ["normal", "categorical", "bernoulli"])
def test_nan_is_refused(library, dist):
    x = array(library, np.full((2, 4), np.nan))
    with pytest.raises(ValueError):
        build(library, 2 if dist == "normal" else 4, dist)(x)


@pytest.mark.parametrize(("library", "kind"), [(side, kind) for side in SIDES for kind in ("normal", "bernoulli")])
def test_each_call_draws_anew(library, kind):
    dist = build(library, 64, kind)
    x = array(library, np.zeros((1, 128 if kind == "normal" else 64)))
    assert not np.array_equal(dist(x).stoch, dist(x).stoch)


def test_a_key_fixes_the_draw_and_leaves_the_stream_alone():
    dist = build(models.networks.jax, 64, "normal")
    call = jax.jit(lambda x, key: dist(x, key=key).stoch)
    x = jnp.zeros((1, 128))
    count = int(dist.rngs.count[...])
    assert jnp.array_equal(call(x, jax.random.key(1)), call(x, jax.random.key(1)))
    assert not jnp.array_equal(call(x, jax.random.key(1)), call(x, jax.random.key(2)))
    assert int(dist.rngs.count[...]) == count


def test_the_stream_moves_under_nnx_jit():
    dist = build(models.networks.jax, 64, "categorical", n_groups=16)
    call = nnx.jit(lambda dist, x: dist(x).stoch)
    x = jnp.zeros((1, 64))
    first = call(dist, x)
    assert not jnp.array_equal(first, call(dist, x))
    np.testing.assert_allclose(first.reshape(16, 4).sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("library", SIDES)
def test_a_codebook_numbers_the_corners_of_a_cube(library):
    streams = {}
    book = library.BSQCodebook(3, **streams)
    codes = np.asarray(book.codebook)
    assert codes.shape == (8, 3)
    assert codes.dtype == np.float32
    np.testing.assert_allclose(codes[5] * np.sqrt(3), [1, -1, 1], rtol=1e-6)  # 5 = 101 in binary
    index = torch.tensor([[5], [2]]) if library is models.networks.torch else jnp.array([[5], [2]])
    assert np.array_equal(book.indices_to_codes(index), codes[[5, 2]])
    assert np.array_equal(book.indices_to_codes(index[:, 0]), codes[[5, 2]])


def test_only_the_mask_is_state():
    torch_book, nnx_book = models.networks.torch.BSQCodebook(3), models.networks.jax.BSQCodebook(3)
    assert {name: tuple(t.shape) for name, t in torch_book.state_dict().items()} == {"mask": (3,)}
    assert torch_book.mask.dtype == torch.int64
    assert torch_book.mask.tolist() == [4, 2, 1]
    assert [path for path, _ in nnx.to_flat_state(nnx.state(nnx_book))] == [("mask",)]
    with pytest.raises(ValueError, match="BSQCodebook: 32 bits do not fit into int32"):
        models.networks.jax.BSQCodebook(32)


def test_the_divergence_of_near_equals_has_no_more_digits_in_torch_itself():
    odds = (np.exp(1e-3 * np.random.default_rng(seed).standard_normal((8, 2, 5))) for seed in (1, 2))
    p, q = (x / x.sum(-1, keepdims=True) for x in odds)
    long = [x.astype(np.longdouble) / x.astype(np.longdouble).sum(-1, keepdims=True) for x in (p, q)]
    truth = (long[0] * (np.log(long[0]) - np.log(long[1]))).sum((-1, -2))
    errors = []
    for library, array in ((models.networks.torch, torch.tensor), (models.networks.jax, jnp.asarray)):
        with jax.enable_x64(True):
            stochs = [library.CategoricalStoch(*[array(x)] * 3) for x in (p, q)]
            found = np.asarray(library.kl_divergence(*stochs))
        errors.append(float((np.abs(found - truth) / truth).max()))
    assert 1e-11 < errors[0] < 1e-8  # terms of 1e-3 with roundings of 1e-17 add up to 1e-6: why no claim draws such
    assert errors[1] < 4 * errors[0]
