from __future__ import annotations

import pytest

from models.tidhy.config import TiDHyConfig, check_sequence
from models.tidhy.training_config import TrainingConfig


def test_every_bad_value_is_named_at_once() -> None:
    with pytest.raises(ValueError) as refusal:
        TiDHyConfig(r_dim=0, mix_dim=2.0, lr_r=-0.1, temp_weight=float("nan"), dyn_bias=1, loss_type=None)  # pyright: ignore[reportArgumentType]  (the wrong types are the point)
    assert str(refusal.value) == (
        "TiDHyConfig: 6 options cannot be used\n"
        "  r_dim: expected an integer of at least 1, got 0\n"
        "  mix_dim: expected an integer of at least 1, got 2.0\n"
        '  loss_type: expected a string such as "MSE", "BCE" or "Poisson", got None\n'
        "  dyn_bias: expected True or False, got 1\n"
        "  lr_r: expected a finite number of at least 0, got -0.1\n"
        "  temp_weight: expected a finite number, got nan"
    )


def test_training_options_are_refused_too() -> None:
    with pytest.raises(ValueError) as refusal:
        TrainingConfig(learning_rate_s=-1.0, grad_norm=1)  # pyright: ignore[reportArgumentType]  (the wrong type is the point)
    assert str(refusal.value) == (
        "TrainingConfig: these options cannot be used\n"
        "  grad_norm: expected True or False, got 1\n"
        "  learning_rate_s: expected a finite number of at least 0, got -1.0"
    )


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"^TiDHyConfig: no option is called lr_q, r_dims; expected some of L1_alpha, "
    ):
        TiDHyConfig.from_mapping({"r_dims": 3, "lr_q": 1, "tol": 0.1})


def test_what_training_cannot_use_is_refused() -> None:
    with pytest.raises(ValueError) as refusal:
        TiDHyConfig(lr_weights=-0.1, weight_decay=-1.0, clip_grad=-5.0)
    assert str(refusal.value) == (
        "TiDHyConfig: 3 options cannot be used\n"
        "  lr_weights: expected a finite number of at least 0, got -0.1\n"
        "  weight_decay: expected a finite number of at least 0, got -1.0\n"
        "  clip_grad: expected a finite number of at least 0, got -5.0"
    )


@pytest.mark.parametrize(
    ("loss_type", "loss"), [("BCE", "BCE"), ("Poisson", "Poisson"), ("bce", "MSE"), ("MSE", "MSE")]
)
def test_an_unknown_loss_means_mse(loss_type: str, loss: str) -> None:
    assert TiDHyConfig(loss_type=loss_type).loss == loss


def test_negative_shrinkage_is_allowed_because_the_original_allows_it() -> None:
    assert TiDHyConfig(lmda_r=-0.1).lmda_r == -0.1


@pytest.mark.parametrize(("max_iter", "period"), [(10, 1), (19, 1), (30, 3), (2000, 200)])
def test_halving_period(max_iter: int, period: int) -> None:
    assert TiDHyConfig(max_iter=max_iter).halving_period == period


def test_too_few_updates_have_no_period() -> None:
    with pytest.raises(ValueError) as refusal:
        TiDHyConfig(max_iter=9).halving_period  # noqa: B018  (the property raises)
    assert str(refusal.value) == (
        "TiDHy: inference of a time step needs max_iter of at least 10, got 9: the step size of r is halved every "
        "max_iter // 10 updates; raise max_iter, or pass one time step"
    )


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 5), (2, 0, 6)])
def test_a_sequence_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError) as refusal:
        check_sequence(shape, TiDHyConfig(input_dim=6))
    assert str(refusal.value) == (
        f"TiDHy: expected X of shape (batch, time, 6), got {shape}; the last axis holds input_dim features and no axis "
        "may be empty"
    )
