"""Losses: twins agree over their options, limits are exact, refusals are told."""

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
RNG = np.random.default_rng(8)
IMAGES = RNG.standard_normal((2, 3, 4, 6)), RNG.standard_normal((2, 3, 4, 6))
FFL = {
    "power": {"alpha": 1.5, "loss_weight": 0.3},
    "patches": {"patch_factor": 2},
    "log": {"log_matrix": True},
    "batch": {"batch_matrix": True},
    "average": {"ave_spectrum": True},
}


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_of_images_sums_over_the_pixels(gamma):
    logits, target = RNG.standard_normal((2, 5, 3, 4)), RNG.integers(0, 5, (2, 1, 3, 4))
    assert worst_error(lambda lib, x, t: lib.focal_loss(x, t, gamma, sum_dim=-3), logits, target) < BOUND
    p = torch.softmax(torch.tensor(logits), 1).gather(1, torch.tensor(target))
    plain = (-((1 - p) ** gamma) * p.log()).sum() / 2
    value = models.networks.torch.focal_loss(torch.tensor(logits), torch.tensor(target), gamma, sum_dim=-3)
    assert float(value) == pytest.approx(float(plain), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 1.5])
def test_binary_focal_loss_agrees(gamma):
    x, t = 4 * RNG.standard_normal((3, 4, 5)), RNG.integers(0, 2, (3, 4, 5)).astype(np.float64)
    assert worst_error(lambda lib, x: lib.binary_focal_loss(x, array64(lib, t), gamma, sum_dim=1), x) < BOUND
    p = 1 / (1 + np.exp(-x))
    plain = -np.where(t == 1, (1 - p) ** gamma * np.log(p), p**gamma * np.log(1 - p)).sum(1)
    value = models.networks.torch.binary_focal_loss(torch.tensor(x), torch.tensor(t), gamma, sum_dim=1)
    np.testing.assert_allclose(value, plain, rtol=1e-12)


def array64(library, values):
    return torch.tensor(values) if library is models.networks.torch else jnp.asarray(values)


def test_targets_between_the_bits_count_as_0_unless_gamma_is_0():
    for library in SIDES:
        x, half = array(library, [[0.7]]), array(library, [[0.5]])
        zero = array(library, [[0.0]])
        assert float(library.binary_focal_loss(x, half)[0]) == float(library.binary_focal_loss(x, zero)[0])
        soft = 0.5 * 0.7 - np.log(1 / (1 + np.exp(-0.7)))
        assert float(library.binary_focal_loss(x, half, gamma=0)[0]) == pytest.approx(soft, rel=1e-6)


def test_cross_entropy_agrees_far_from_the_target_too():
    logits = np.array([[30.0, 0.0, -3.0], [0.0, 45.0, 1.0], [2.0, 1.0, 0.0]])
    target = np.array([1, 1, 2])
    assert worst_error(lambda lib, x, t: lib.cross_entropy(x, t), logits, target) < BOUND
    value = models.networks.torch.cross_entropy(torch.tensor(logits), torch.tensor(target))
    assert float(value[1]) == pytest.approx(np.exp(-44) + np.exp(-45), rel=1e-12)
    assert float(value[0]) == 30 + np.log1p(np.exp(-33))


def test_cross_entropy_takes_another_axis_and_a_single_class():
    logits, target = RNG.standard_normal((2, 5, 3)), RNG.integers(0, 5, (2, 3))
    assert worst_error(lambda lib, x, t: lib.cross_entropy(x, t, dim=1), logits, target) < BOUND
    x = torch.ones(2, 1, requires_grad=True)
    loss = models.networks.torch.cross_entropy(x, torch.zeros(2, dtype=torch.long))
    assert loss.tolist() == [0.0, 0.0]
    assert torch.autograd.grad(loss.sum(), x)[0].tolist() == [[0.0], [0.0]]
    gradient = jax.grad(lambda x: models.networks.jax.cross_entropy(x, jnp.zeros(2, int)).sum())(jnp.ones((2, 1)))
    assert gradient.tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("library", SIDES)
def test_targets_of_another_shape_or_class_are_refused(library):
    x = array(library, np.zeros((2, 5)))
    with pytest.raises(ValueError) as shape:
        library.cross_entropy(x, array(library, [[0, 1]]))
    assert str(shape.value) == (
        "cross_entropy: the target's shape must be the logits' without the class axis 1, (2,), got (1, 2)"
    )
    for bad in ([0, 5], [-1, 0]):
        with pytest.raises(ValueError) as value:
            library.focal_loss(x, array(library, bad))
        assert str(value.value) == "focal_loss: targets must lie in 0 … 4, the classes of axis 1"


@pytest.mark.parametrize("dim", [-1, 1])
def test_soft_targets_agree(dim):
    student, target = RNG.standard_normal((2, 4, 3)), RNG.standard_normal((2, 4, 3))
    error = worst_error(lambda lib, s, t: lib.soft_target_cross_entropy(s, t, dim=dim), student, target)
    assert error < BOUND


def test_soft_targets_give_q_minus_p_with_all_its_digits():
    target = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    step = torch.tensor([[1e-13, 0.0, -1e-13]], dtype=torch.float64)
    student = (target + step).requires_grad_()
    exact = student.detach() - target
    loss = models.networks.torch.soft_target_cross_entropy(student, target)
    (gradient,) = torch.autograd.grad(loss.sum(), student)
    p = torch.softmax(target, -1)
    first_order = p * (exact - (p * exact).sum())  # q − p for a step this small
    torch.testing.assert_close(gradient, first_order, rtol=1e-10, atol=0)
    far = torch.randn(2, 3, dtype=torch.float64).requires_grad_()
    (away,) = torch.autograd.grad(models.networks.torch.soft_target_cross_entropy(far, target).sum(), far)
    torch.testing.assert_close(away, torch.softmax(far, -1) - p, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("options", FFL.values(), ids=FFL)
@pytest.mark.parametrize("mean_batch", [True, False])
def test_focal_frequency_loss_agrees(options, mean_batch):
    def loss(library, x, y):
        return library.FocalFrequencyLoss(**options)(x, y, mean_batch=mean_batch)

    assert worst_error(loss, *IMAGES) < BOUND


def test_focal_frequency_loss_is_parsevals_sum_for_equal_weights():
    x, y = map(torch.tensor, IMAGES)
    weights = torch.ones(2, 1, 3, 4, 6)
    value = models.networks.torch.FocalFrequencyLoss()(x, y, matrix=weights, mean_batch=False)
    torch.testing.assert_close(value[:, 0], (x - y).square().sum((1, 2, 3)), rtol=1e-12, atol=0)


def test_focal_frequency_loss_takes_videos_and_targets_that_expand():
    video = RNG.standard_normal((2, 3, 2, 4, 4))

    def loss(library, x, y):
        return library.FocalFrequencyLoss()(x, y, mean_batch=False)

    assert worst_error(loss, video, video[:1, :1] + 1) < BOUND
    x = torch.tensor(video)
    assert loss(models.networks.torch, x, x + 1).shape == (2, 3)


@pytest.mark.parametrize("library", SIDES)
def test_equal_images_have_no_loss_and_no_nan_gradient(library):
    x = array(library, IMAGES[0])
    loss = library.FocalFrequencyLoss()
    if library is models.networks.torch:
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(x, x.detach()), x)
    else:
        gradient = jax.grad(lambda y: loss(y, x))(x)
    assert not np.asarray(gradient).any()


@pytest.mark.parametrize("library", SIDES)
def test_focal_frequency_loss_refuses_patches_and_weights(library):
    x = array(library, IMAGES[0])
    with pytest.raises(AssertionError, match="FocalFrequencyLoss: patch_factor 4 must divide the width 6"):
        library.FocalFrequencyLoss(patch_factor=4)(x, x)
    with pytest.raises(AssertionError, match=r"FocalFrequencyLoss: matrix must lie in \[0, 1\]"):
        library.FocalFrequencyLoss()(x, x, matrix=array(library, np.full((2, 1, 3, 4, 6), 1.5)))
