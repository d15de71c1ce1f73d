"""Image networks: sizes, shapes, what is chosen by itself, leading axes, freezing."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import torch
from flax import nnx
from jax import numpy as jnp

import models.networks.jax
import models.networks.torch
from models.networks import (
    AdaptiveAveragePoolingConfig,
    AttentionConfig,
    ConvConfig,
    ConvNetConfig,
    LinearConfig,
    MLPConfig,
    ResNetConfig,
    SpatialSoftmaxConfig,
    TransformerConfig,
    ViTConfig,
)
from models.networks.pooling_nnx import AdaptiveAvgPool2d

GUIDE = ConvConfig("ReLU", kernel_size=3, stride=2, padding=1)
EXACT = ConvConfig("ReLU", kernel_size=4, stride=2, padding=1)
VIT = ViTConfig(2, TransformerConfig(8, 2, 12, 1))
RESNET = ResNetConfig(8, 3, 5, "ReLU", "Tanh", n_res_blocks=1, n_scaling=1)


def torch_module(name, *args, **kwargs):
    return getattr(models.networks.torch, name)(*args, **kwargs)


def nnx_module(name, *args, **kwargs):
    """Build abstractly: shapes and attributes are all that most tests look at."""
    return nnx.eval_shape(lambda: real_nnx_module(name, *args, **kwargs))


def real_nnx_module(name, *args, **kwargs):
    return getattr(models.networks.jax, name)(*args, **kwargs, rngs=0)


def shape_of(module, *shape):
    """Return the shape that the module makes of an input's."""
    if isinstance(module, torch.nn.Module):
        return tuple(module(torch.ones(shape)).shape)
    return nnx.eval_shape(lambda m, x: m(x), module, jax.ShapeDtypeStruct(shape, jnp.float32)).shape


BUILDERS = [pytest.param(torch_module, id="torch"), pytest.param(nnx_module, id="nnx")]


@pytest.mark.parametrize("build", BUILDERS)
class TestConvTranspose:
    def test_output_padding_is_chosen_where_the_sizes_would_miss(self, build):
        cfg = ConvNetConfig((64, 32, 16), (GUIDE,) * 3)
        shape = models.networks.torch.ConvTranspose.get_input_shape((3, 64, 64), cfg)
        assert shape == (16, 8, 8)
        assert shape_of(build("ConvTranspose", shape, (3, 64, 64), cfg), 2, *shape) == (2, 3, 64, 64)

    def test_output_padding_is_chosen_per_axis(self, build):
        cfg = ConvNetConfig((4,), (GUIDE,))
        assert shape_of(build("ConvTranspose", (16, 4, 4), (3, 8, 7), cfg), 2, 16, 4, 4) == (2, 3, 8, 7)

    def test_a_fitting_config_keeps_its_own(self, build):
        cfg = ConvNetConfig((4,), (EXACT,))
        module = build("ConvTranspose", (4, 4, 6), (3, 8, 12), cfg)
        assert shape_of(module, 2, 4, 4, 6) == (2, 3, 8, 12)
        assert not list(
            module.first_conv.parameters() if build is torch_module else nnx.to_flat_state(nnx.state(module.first_conv))
        )

    def test_sizes_that_do_not_lead_there_are_refused(self, build):
        with pytest.raises(AssertionError) as refusal:
            build("ConvTranspose", (4, 5, 5), (3, 8, 12), ConvNetConfig((4,), (EXACT,)))
        assert str(refusal.value).startswith(
            "ConvTranspose: the layers make (10, 10) of (5, 5), expected (8, 12); an input of (4, 6)"
        )

    def test_every_channel_needs_a_config(self, build):
        with pytest.raises(AssertionError, match="expected one config per channel, got 2 channels and 1 configs"):
            build("ConvTranspose", (4, 4, 6), (3, 8, 12), ConvNetConfig((4, 6), (EXACT,)))


@pytest.mark.parametrize("build", BUILDERS)
class TestEncoder:
    @pytest.mark.parametrize(
        ("backbone", "behind", "feature_dim", "expected"),
        [
            (ConvNetConfig((4, 6), (GUIDE, GUIDE)), LinearConfig("ReLU"), 5, (5,)),
            (ConvNetConfig((4, 6), (GUIDE, GUIDE)), None, (6, 2, 3), (6, 2, 3)),
            (ConvNetConfig((4, 6), (GUIDE, GUIDE)), AdaptiveAveragePoolingConfig((2, 1)), 99, (12,)),
            (ConvNetConfig((4, 6), (GUIDE, GUIDE)), AdaptiveAveragePoolingConfig(2, LinearConfig("Tanh")), 5, (5,)),
            (ConvNetConfig((4, 6), (GUIDE, GUIDE)), SpatialSoftmaxConfig(), 99, (12,)),
            (RESNET, MLPConfig(7, 1, "Tanh", LinearConfig("ReLU")), 5, (5,)),
            (VIT, None, 8, (8,)),
            (VIT, LinearConfig("ReLU"), 5, (5,)),
        ],
    )
    def test_shapes_with_any_leading_axes(self, build, backbone, behind, feature_dim, expected):
        module = build("Encoder", feature_dim, (3, 8, 12), backbone, behind)
        for batch in ((), (2,), (2, 3)):
            assert shape_of(module, *batch, 3, 8, 12) == (*batch, *expected)
        assert module.feature_dim == (expected if len(expected) > 1 else expected[0])

    def test_attributes(self, build):
        module = build("Encoder", 5, (3, 8, 12), ConvNetConfig((4, 6), (GUIDE, GUIDE)), LinearConfig("ReLU"))
        assert (module.last_channel, module.conved_shape, module.conved_size) == (6, (2, 3), 36)
        assert module.obs_shape == (3, 8, 12)

    def test_lists_stand_for_tuples(self, build):
        module = build("Encoder", [6, 2, 3], [3, 8, 12], ConvNetConfig((4, 6), (GUIDE, GUIDE)))
        assert shape_of(module, 2, 3, 8, 12) == (2, 6, 2, 3)

    def test_pixel_shuffles_in_a_conv_net_are_refused(self, build):
        cfg = ConvNetConfig((4,), (ConvConfig("ReLU", 3, 1, 1, scale_factor=2),))
        with pytest.raises(ValueError, match=r"must not shuffle pixels, got scale factors \[2\]"):
            build("Encoder", 5, (3, 8, 12), cfg, LinearConfig("ReLU"))

    def test_a_shape_with_layers_behind_the_backbone_is_refused(self, build):
        for behind in (LinearConfig("ReLU"), SpatialSoftmaxConfig(), AdaptiveAveragePoolingConfig()):
            with pytest.raises(AssertionError, match=f"with a {type(behind).__name__} feature_dim must be an int"):
                build("Encoder", (6, 2, 3), (3, 8, 12), ConvNetConfig((4, 6), (GUIDE, GUIDE)), behind)


@pytest.mark.parametrize("build", BUILDERS)
class TestDecoder:
    @pytest.mark.parametrize(
        ("backbone", "front", "feature_dim"),
        [
            (ConvNetConfig((6, 4), (GUIDE, GUIDE)), LinearConfig("ReLU"), 5),
            (ConvNetConfig((6, 4), (GUIDE, GUIDE), AttentionConfig(2, 1)), None, (16, 2, 3)),
            (RESNET, MLPConfig(7, 1, "Tanh", LinearConfig("ReLU")), 5),
            (VIT, None, 8),
            (VIT, LinearConfig("ReLU"), 5),
        ],
    )
    def test_shapes_with_any_leading_axes(self, build, backbone, front, feature_dim):
        module = build("Decoder", feature_dim, (3, 8, 12), backbone, front)
        shape = feature_dim if isinstance(feature_dim, tuple) else (feature_dim,)
        for batch in ((), (2,), (2, 3)):
            assert shape_of(module, *batch, *shape) == (*batch, 3, 8, 12)

    def test_layers_of_another_kind_count_as_none(self, build):
        module = build("Decoder", 96, (3, 8, 12), ConvNetConfig((6, 4), (GUIDE, GUIDE)), SpatialSoftmaxConfig())
        assert shape_of(module, 2, 96) == (2, 3, 8, 12)

    def test_unknown_backbones_are_refused(self, build):
        with pytest.raises(NotImplementedError, match="Decoder: unknown backbone_cfg of type NoneType"):
            build("Decoder", 5, (3, 8, 12), None, LinearConfig("ReLU"))


@pytest.mark.parametrize("build", BUILDERS)
class TestViT:
    def test_attributes(self, build):
        encoder, decoder = build("ViT", (3, 8, 12), VIT), build("ViT", (8,), VIT, obs_shape=(3, 8, 12))
        assert (encoder.last_channel, encoder.conved_shape, encoder.conved_size) == (8, (1, 1), 8)
        assert encoder.n_patches == decoder.n_patches == decoder.get_n_patches() == 24
        assert decoder.last_channel == decoder.get_patch_dim() == 12
        assert decoder.get_input_shape((3, 8, 12), VIT) == (8,)

    def test_patches_have_the_channel_fastest_and_go_back(self, build):
        module = build("ViT", (8,), VIT, obs_shape=(3, 4, 6))
        image = np.arange(2 * 72, dtype=np.float32).reshape(2, 3, 4, 6)
        given = torch.tensor(image) if build is torch_module else jnp.asarray(image)
        patches = module.patchify(given)
        assert np.asarray(patches)[1, 4, 5] == image[1, 2, 2, 3]  # patch (1, 1), pixel (0, 1), channel 2
        assert np.array_equal(np.asarray(module.unpatchify(patches)), image)

    def test_a_decoders_input_of_another_shape_is_refused(self, build):
        module = build("ViT", (8,), VIT, obs_shape=(3, 4, 6))
        with pytest.raises(ValueError, match=r"a decoder expects \(B, 8\) or \(B, 1, 8\), got shape \(2, 2, 8\)"):
            shape_of(module, 2, 2, 8)

    def test_with_one_key_the_queries_projection_has_no_gradient(self, build):
        module = (real_nnx_module if build is nnx_module else build)("ViT", (8,), VIT, obs_shape=(3, 4, 6))
        if build is torch_module:
            module(torch.randn(2, 8)).square().sum().backward()
            grad = module.decoder_blocks[0].cross_attn.in_proj_weight.grad.numpy()
        else:
            x = jax.random.normal(jax.random.key(0), (2, 8))
            grads = nnx.grad(lambda m: (m(x) ** 2).sum())(module)
            grad = np.asarray(grads["decoder_blocks"][0]["cross_attn"]["in_proj_weight"][...])
        assert np.abs(grad[:16]).max() < 1e-6 * np.abs(grad[16:]).max()


@pytest.mark.parametrize(("part", "frozen"), [("weights", {"kernel", "scale"}), ("biases", {"bias"})])
def test_freezing_takes_parameters_out_of_training_and_back(part, frozen):
    cfg = ConvNetConfig((4,), (ConvConfig("ReLU", 3, 2, 1, norm="group", norm_cfg={"num_groups": 2}),))
    ours = real_nnx_module("Encoder", 5, (3, 8, 12), cfg, LinearConfig("ReLU"))
    theirs = torch_module("Encoder", 5, (3, 8, 12), cfg, LinearConfig("ReLU"))
    x = jnp.ones((2, 3, 8, 12))
    before = ours(x)
    for module in (ours, theirs):
        getattr(module, f"freeze_{part}")()
    left = {path[-1] for path, _ in nnx.to_flat_state(nnx.state(ours, nnx.Param))}
    assert left == {"kernel", "scale", "bias"} - frozen
    trained = {name.rsplit(".", 1)[-1] for name, value in theirs.named_parameters() if value.requires_grad}
    assert trained == {"weight", "bias"} - {part.removesuffix("s").replace("biase", "bias")}
    assert jnp.array_equal(ours(x), before)
    for module in (ours, theirs):
        getattr(module, f"unfreeze_{part}")()
    assert len(nnx.to_flat_state(nnx.state(ours, nnx.Param))) == len(list(theirs.parameters()))
    assert all(value.requires_grad for value in theirs.parameters())


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 7), (8, 11), (9, 12)])
def test_adaptive_pooling_averages_torchs_bins(size):
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 11))
    with jax.enable_x64(True):
        got = np.asarray(AdaptiveAvgPool2d(size)(jnp.asarray(x)))
    expected = torch.nn.AdaptiveAvgPool2d(size)(torch.tensor(x)).numpy()
    assert np.abs(got - expected).max() < 1e-15 * 8 * 11


def test_a_resnets_config_is_left_as_it_was():
    cfg = ResNetConfig(8, 3, 5, "ReLU", "Tanh", n_res_blocks=1, n_scaling=1, norm="batch", dropout=0.1)
    before = repr(cfg)
    torch_module("ResNetPixShuffle", (5, 4, 6), (3, 8, 12), cfg)
    nnx_module("ResNetPixUnshuffle", (3, 8, 12), cfg)
    assert repr(cfg) == before
