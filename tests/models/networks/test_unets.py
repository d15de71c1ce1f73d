"""U-Nets: both frameworks agree over their options, keep leading axes, and refuse alike."""

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
from models.networks import ConvConfig, LinearConfig, MLPConfig, UNetConfig
from tests.models.networks.live_cases import live_case
from tests.models.networks.replay import run_nnx, worst_errors

BOUND = 1e-11
CONV = {"kernel_size": 3, "stride": 1, "padding": 1}
SIDES = (models.networks.torch, models.networks.jax)


def conv(activation: str = "SiLU", **options: Any) -> ConvConfig:
    return ConvConfig(activation=activation, **{**CONV, **options})


def build(library: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    streams = {"rngs": 0} if library is models.networks.jax else {}
    return getattr(library, name)(*args, **kwargs, **streams)


def rand(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


ONE = {
    "shuffle, scale": UNetConfig((4, 6), conv(), cond_pred_scale=True, use_shuffle=True),
    "hypernetwork, gated": UNetConfig((3, 5), conv("SiGLU"), use_hypernet=True),
    "hypernetwork, learned activation": UNetConfig(
        (3, 5),
        conv("PReLU", bias=False),
        use_hypernet=True,
        hyper_mlp_cfg=MLPConfig(4, 1, "Identity", LinearConfig("Tanh")),
    ),
    "three levels, attention, batch norm": UNetConfig(
        (4, 6, 2), conv(norm="batch", norm_first=False), has_attn=True, nhead=2
    ),
    "one level": UNetConfig((5,), conv("CRReLU", kernel_size=5, padding=2, padding_mode="circular")),
}
TWO = {
    "shuffle, attention": UNetConfig((4, 6), conv(), use_shuffle=True, has_attn=True, nhead=2),
    "ignored hypernetwork": UNetConfig((3, 5), conv("Mish", dilation=2, padding=2), use_hypernet=True),
}


@pytest.mark.parametrize("name", ONE)
def test_1d_twins_agree(name):
    arguments = {"feature_dim": 3, "obs_shape": (2, 8), "cfg": ONE[name]}
    case = live_case("ConditionalUnet1d", arguments, rand(2, 2, 8), rand(2, 3), scale=0.5 if "hyper" in name else 1)
    errors = worst_errors(case, run_nnx(case))
    assert max(errors.values()) < BOUND, errors


@pytest.mark.parametrize("name", TWO)
def test_2d_twins_agree(name):
    case = live_case(
        "ConditionalUnet2d", {"feature_dim": 3, "obs_shape": (2, 4, 6), "cfg": TWO[name]}, rand(2, 2, 4, 6), rand(2, 3)
    )
    errors = worst_errors(case, run_nnx(case))
    assert max(errors.values()) < BOUND, errors


@pytest.mark.parametrize("cfg", [conv("LeakyReLU"), conv("GLU", groups=1), conv("CRReLU")], ids=lambda c: c.activation)
def test_2d_hypernetwork_blocks_agree(cfg):
    arguments = {"in_channels": 2, "out_channels": 3, "cond_dim": 5, "conv_cfg": cfg}
    case = live_case("HyperConditionalResidualBlock2d", arguments, rand(4, 2, 4, 6), rand(4, 5))
    assert set(case.aliases) == {key for key in case.state if key.startswith("conv_layer.")}
    unused = [key for key in case.grads if key.startswith(("first_conv", "last_conv"))]
    assert unused
    assert not any(case.grads[key].any() for key in unused)
    errors = worst_errors(case, run_nnx(case))
    assert max(errors.values()) < BOUND, errors


@pytest.mark.parametrize("library", SIDES)
@pytest.mark.parametrize("leading", [(), (5,), (2, 3)])
def test_leading_axes_are_restored(library, leading):
    unet = build(library, "ConditionalUnet1d", 3, (2, 8), UNetConfig((4, 6), conv()))
    ones = torch.ones if library is models.networks.torch else lambda *shape: jnp.ones(shape)
    assert unet(ones(*leading, 2, 8), ones(*leading, 3)).shape == (*leading, 2, 8)


def test_the_skip_of_the_full_size_is_unused_and_the_deepest_comes_first():
    """Widths alone tell: the first up block joins the deepest width with itself."""
    unet = models.networks.torch.ConditionalUnet1d(3, (2, 8), UNetConfig((4, 6, 10), conv()))
    widths = [up[0].first_conv.conv.in_channels for up in unet.up_modules]
    assert widths == [20, 12]


@pytest.mark.parametrize("library", SIDES)
def test_sizes_that_cannot_be_halved_are_refused(library):
    with pytest.raises(ValueError) as refusal:
        build(library, "ConditionalUnet2d", 3, (2, 5, 8), UNetConfig((4, 6), conv()))
    assert str(refusal.value) == (
        "ConditionalUnet2d: 2 levels of channels halve the input 1 times, so each of its sizes must be divisible "
        "by 2, got 5 × 8"
    )


@pytest.mark.parametrize("library", SIDES)
def test_convolutions_that_change_the_size_are_refused(library):
    with pytest.raises(ValueError) as refusal:
        build(library, "ConditionalUnet1d", 3, (2, 8), UNetConfig((4, 6), conv(padding=0)))
    assert str(refusal.value) == (
        "ConditionalUnet1d: conv_cfg must keep the size (for instance stride 1 and padding (kernel_size − 1) / 2), "
        "but it makes 6 of 8"
    )


@pytest.mark.parametrize("library", SIDES)
def test_an_input_of_another_shape_is_refused(library):
    unet = build(library, "ConditionalUnet2d", 3, (2, 4, 4), UNetConfig((4,), conv()))
    zeros = torch.zeros if library is models.networks.torch else lambda *shape: jnp.zeros(shape)
    with pytest.raises(AssertionError, match=r"expected an input \(\*, 2, 4, 4\), got shape"):
        unet(zeros(2, 2, 4, 6), zeros(2, 3))


@pytest.mark.parametrize("library", SIDES)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"norm": "group", "norm_cfg": {"num_groups": 1}},
            """HyperConditionalResidualBlock1d: generated convolutions take norm="none" alone, got 'group'""",
        ),
        (
            {"scale_factor": 1},
            "HyperConditionalResidualBlock1d: generated convolutions take scale_factor=0 alone, got 1",
        ),
    ],
)
def test_layers_that_need_a_batch_axis_are_refused(library, options, message):
    with pytest.raises(ValueError) as refusal:
        build(library, "HyperConditionalResidualBlock1d", 2, 3, 4, conv(**options))
    assert str(refusal.value) == message


@pytest.mark.parametrize("library", SIDES)
def test_generated_convolutions_refuse_dropout_in_train_mode_alone(library):
    block = build(library, "HyperConditionalResidualBlock1d", 2, 3, 4, conv(dropout=0.5))
    zeros = torch.zeros if library is models.networks.torch else lambda *shape: jnp.zeros(shape)
    with pytest.raises(ValueError, match="generated convolutions take no dropout in train mode"):
        block(zeros(2, 2, 5), zeros(2, 4))
    block.eval()
    assert block(zeros(2, 2, 5), zeros(2, 4)).shape == (2, 3, 5)


def test_random_activations_of_generated_convolutions_draw_for_each_sample_and_call():
    block = models.networks.jax.HyperConditionalResidualBlock1d(2, 3, 4, conv("RReLU"), rngs=0)
    run = nnx.jit(lambda block, x, cond: block(x, cond))
    x, cond = -jnp.ones((2, 2, 5)), jnp.ones((2, 4))
    first, second = run(block, x, cond), run(block, x, cond)
    assert not jnp.allclose(first[0], first[1])
    assert not jnp.allclose(first, second)
    block.eval()
    assert jnp.array_equal(run(block, x, cond), run(block, x, cond))


def test_a_unet_runs_under_jit_and_grad():
    unet = models.networks.jax.ConditionalUnet1d(3, (2, 8), UNetConfig((4, 6), conv(norm="batch")), rngs=0)
    x, cond = jnp.asarray(rand(2, 2, 8), jnp.float32), jnp.ones((2, 3))
    tracked = unet.final_conv[0].norm.mean[...]
    loss = nnx.jit(nnx.value_and_grad(lambda unet, x, cond: (unet(x, cond) ** 2).mean()))
    value, gradient = loss(unet, x, cond)
    assert jnp.isfinite(value)
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(gradient))
    assert not jnp.array_equal(tracked, unet.final_conv[0].norm.mean[...])


def test_a_seeded_torch_unet_draws_down_before_up():
    """The first level's weights follow those of the middle in torch's random stream."""
    cfg = UNetConfig((4, 6), conv())
    torch.manual_seed(3)
    unet = models.networks.torch.ConditionalUnet1d(3, (2, 8), cfg)
    torch.manual_seed(3)
    for _ in range(2):
        models.networks.torch.ConditionalResidualBlock1d(6, 6, 3, cfg.conv_cfg)
    block = models.networks.torch.ConditionalResidualBlock1d(2, 4, 3, cfg.conv_cfg)
    assert torch.equal(unet.down_modules[0][0].first_conv.conv.weight, block.first_conv.conv.weight)
