"""The softmax family: exact at the top, refusals, straight-through samples, twins agree."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import torch
from jax import numpy as jnp

import models.networks.jax
import models.networks.torch
from tests.models.networks.both_sides import SIDES, array, worst_error

BOUND = 1e-12
X = np.random.default_rng(5).standard_normal((3, 4, 5)) * 4


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dim", [-1, 0, 1])
def test_twins_agree_along_each_axis(name, dim):
    assert worst_error(lambda library, x: getattr(library, name)(x, dim=dim, temperature=0.3), X) < BOUND


@pytest.mark.parametrize("library", SIDES)
def test_it_is_the_log_softmax_and_keeps_what_that_loses(library):
    x = array(library, X)
    np.testing.assert_allclose(
        library.log_softmax(x), torch.log_softmax(torch.tensor(X, dtype=torch.float32), -1), rtol=1e-4
    )
    top = float(library.log_softmax(array(library, [0.0, -50.0]))[0])
    assert top == pytest.approx(-np.exp(-50.0), rel=1e-6)
    assert float(torch.log_softmax(torch.tensor([0.0, -50.0]), -1)[0]) == 0.0


def test_the_gradient_is_that_of_the_log_softmax_even_at_minus_infinity():
    x = torch.tensor([0.5, -torch.inf, 2.0], requires_grad=True)
    (own,) = torch.autograd.grad(models.networks.torch.log_softmax(x)[0], x)
    assert own.tolist() == pytest.approx([0.8175745, 0.0, -0.8175745])
    twin = jax.grad(lambda x: models.networks.jax.log_softmax(x)[0])(jnp.array([0.5, -jnp.inf, 2.0]))
    assert twin.tolist() == pytest.approx(own.tolist())
    for g in (
        torch.autograd.grad(models.networks.torch.softmax(y := torch.ones(1, requires_grad=True)).sum(), y)[0],
        jax.grad(lambda x: models.networks.jax.softmax(x).sum())(jnp.ones(1)),
    ):
        assert g.tolist() == [0.0]


@pytest.mark.parametrize("library", SIDES)
def test_infinite_logits_are_certain_and_hopeless_rows_refused(library):
    assert np.array_equal(library.softmax(array(library, [1.0, np.inf])), [0.0, 1.0])
    for bad in ([-np.inf, -np.inf], [0.0, np.nan]):
        with pytest.raises(ValueError) as refusal:
            library.softmax(array(library, bad))
        assert str(refusal.value) == (
            "softmax: the result holds NaN or inf; expected logits without NaN, "
            "with at most one +inf and not all −inf along the axis"
        )


def test_values_are_not_checked_under_jit():
    assert jnp.isnan(jax.jit(models.networks.jax.softmax)(jnp.array([jnp.nan, 0.0]))).any()


@pytest.mark.parametrize("dim", [-1, 1])
def test_gumbel_samples_agree_given_the_noise(dim):
    noise = np.random.default_rng(6).gumbel(size=X.shape)
    error = worst_error(lambda library, x, g: library.gumbel_softmax(x, dim=dim, temperature=0.7, noise=g), X, noise)
    assert error < BOUND


@pytest.mark.parametrize("library", SIDES)
def test_gumbel_samples_are_one_hot_and_as_frequent_as_their_probabilities(library):
    x = array(library, np.tile(np.log([0.2, 0.5, 0.3]), (100_000, 1)))
    torch.manual_seed(0)
    options = {} if library is models.networks.torch else {"key": jax.random.key(0)}
    sample = np.asarray(library.gumbel_softmax(x, dim=-1, **options))
    np.testing.assert_allclose(np.sort(sample, -1), np.tile([0, 0, 1], (100_000, 1)), atol=1e-6)
    np.testing.assert_allclose(sample.mean(0), [0.2, 0.5, 0.3], atol=6 * (0.25 / 1e5) ** 0.5)


def test_a_gumbel_sample_needs_an_axis_and_a_source_of_noise():
    with pytest.raises(TypeError, match="gumbel_softmax: axis is missing"):
        models.networks.jax.gumbel_softmax(jnp.ones(3), jax.random.key(0))
    with pytest.raises(TypeError, match="gumbel_softmax: key is missing"):
        models.networks.jax.gumbel_softmax(jnp.ones(3), axis=0)
    assert models.networks.jax.gumbel_softmax(jnp.ones((2, 3)), jax.random.key(0), -1, 0.5).shape == (2, 3)
