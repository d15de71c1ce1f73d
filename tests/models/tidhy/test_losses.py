"""Losses and their first and second derivatives, where a derivative is a convention: torch's, in both frameworks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from models.tidhy import losses_jax, losses_torch

pytestmark = pytest.mark.usefixtures("float64")

P = np.array([0.3, 0.999, 1e-30, 1.0, 0.0, 1e-60, 0.5])
Y = np.array([0.2, 1.0, 0.5, 0.5, 0.0, 1.0, 0.5])


def test_cross_entropy_and_its_derivatives_are_torchs() -> None:
    p, y = torch.tensor(P, requires_grad=True), torch.tensor(Y)
    loss = losses_torch.elementwise_loss("BCE", p, y)
    (slope,) = torch.autograd.grad(loss.sum(), p, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), p)

    def entry(p: jax.Array, y: jax.Array) -> jax.Array:
        return losses_jax.elementwise_loss("BCE", p, y)

    found = [entry(jnp.asarray(P), jnp.asarray(Y))]
    for derivative in (jax.grad(entry), jax.grad(jax.grad(entry))):
        found.append(jax.vmap(derivative)(jnp.asarray(P), jnp.asarray(Y)))
    for expected, actual in zip((loss, slope, curvature), found, strict=True):
        np.testing.assert_allclose(actual, expected.detach().numpy(), rtol=1e-14)


def test_cross_entropy_by_the_observation_is_torchs() -> None:
    p, y = torch.tensor(P[:2]), torch.tensor(Y[:2], requires_grad=True)
    (expected,) = torch.autograd.grad(losses_torch.elementwise_loss("BCE", p, y).sum(), y)
    actual = jax.grad(lambda y: losses_jax.elementwise_loss("BCE", jnp.asarray(P[:2]), y).sum())(jnp.asarray(Y[:2]))
    np.testing.assert_allclose(actual, expected, rtol=1e-14)


@pytest.mark.parametrize(("p", "y"), [(-0.1, 0.5), (1.1, 0.5), (0.5, -0.1), (0.5, 1.1)])
def test_cross_entropy_outside_the_unit_interval(p: float, y: float) -> None:
    with pytest.raises(RuntimeError, match="should be between 0 and 1"):
        losses_torch.elementwise_loss("BCE", torch.tensor(p), torch.tensor(y))
    assert np.isnan(losses_jax.elementwise_loss("BCE", jnp.asarray(p), jnp.asarray(y)))


@pytest.mark.parametrize("rate", [2.0, 0.0, -1.0])
def test_poisson_has_no_floor(rate: float) -> None:
    expected = losses_torch.elementwise_loss("Poisson", torch.tensor(rate), torch.tensor(3.0))
    actual = losses_jax.elementwise_loss("Poisson", jnp.asarray(rate), jnp.asarray(3.0))
    np.testing.assert_allclose(actual, expected, rtol=1e-15)


def test_magnitudes_have_derivative_zero_at_zero() -> None:
    values = np.array([0.0, -0.0, 1.5, -2.0])
    expected = torch.tensor(values, requires_grad=True)
    losses_torch.l1(expected).backward()
    assert expected.grad is not None
    np.testing.assert_array_equal(jax.grad(losses_jax.l1)(jnp.asarray(values)), expected.grad)
    np.testing.assert_array_equal(expected.grad, [0, 0, 1, -1])


def test_norm_has_derivative_zero_at_the_zero_array() -> None:
    np.testing.assert_array_equal(jax.grad(losses_jax.norm)(jnp.zeros((2, 3))), np.zeros((2, 3)))
    np.testing.assert_allclose(jax.grad(losses_jax.norm)(jnp.asarray([3.0, 4.0])), [0.6, 0.8], rtol=1e-15)


@pytest.mark.parametrize("threshold", [0.0, 0.5, -0.5])
def test_soft_threshold_is_signed(threshold: float) -> None:
    values = np.array([0.2, -0.7, 0.0, 3.0])
    expected = np.sign(values) * np.maximum(np.abs(values) - threshold, 0)
    np.testing.assert_array_equal(losses_torch.soft_threshold(torch.tensor(values), threshold), expected)
    np.testing.assert_array_equal(losses_jax.soft_threshold(jnp.asarray(values), threshold), expected)
