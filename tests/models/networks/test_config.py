"""The configs: order and defaults of their fields, what construction changes, OmegaConf containers."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from models import networks
from models.networks import (
    AdaptiveAveragePoolingConfig,
    ConvConfig,
    ConvNetConfig,
    EncoderConfig,
    LinearConfig,
    MLPConfig,
    ResNetConfig,
    TransformerConfig,
    UNetConfig,
    ViTConfig,
    load_config,
)

FIELDS = {
    "LinearConfig": "activation norm norm_cfg dropout norm_first bias",
    "MLPConfig": "hidden_dim n_layers output_activation linear_cfg",
    "ConvConfig": "activation kernel_size stride padding output_padding dilation groups bias padding_mode dropout norm "
    "norm_cfg norm_first scale_factor",
    "ConvNetConfig": "channels conv_cfgs attention init_channel",
    "ResNetConfig": "conv_channel conv_kernel f_kernel conv_activation out_activation n_res_blocks scale_factor "
    "n_scaling norm norm_cfg dropout init_channel padding_mode attention",
    "AttentionConfig": "nhead patch_size",
    "TransformerConfig": "d_model nhead dim_ff n_layers dropout hidden_activation output_activation",
    "ViTConfig": "patch_size transformer_cfg cls_token init_channel unpatchify decoder_output_activation",
    "UNetConfig": "channels conv_cfg cond_pred_scale nhead has_attn use_shuffle use_hypernet hyper_mlp_cfg",
    "SpatialSoftmaxConfig": "temperature eps is_argmax is_straight_through additional_layer",
    "AdaptiveAveragePoolingConfig": "output_size additional_layer",
    "ContrastiveLearningConfig": "dim_feature eval_func dim_input2 cross_entropy_like",
    "SoftmaxTransConfig": "vector sigma n_ignore max min",
    "EncoderConfig": "backbone full_connection",
    "DecoderConfig": "backbone full_connection",
}
CONV = {"activation": "ReLU", "kernel_size": 3, "stride": 1, "padding": 1}
RESNET = {
    "conv_channel": 8, "conv_kernel": 3, "f_kernel": 5, "conv_activation": "ReLU", "out_activation": "Tanh",
    "n_res_blocks": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_fields_keep_their_order(name):
    config = getattr(networks, name)
    assert " ".join(field.name for field in dataclasses.fields(config)) == FIELDS[name]


def test_every_config_is_listed():
    assert {name for name in networks.__all__ if name.endswith("Config")} == set(FIELDS)


@pytest.mark.parametrize(
    ("config", "required"), [(LinearConfig, {"activation": "ReLU"}), (ConvConfig, CONV), (ResNetConfig, RESNET)]
)
def test_norm_cfg_is_emptied_without_a_norm_and_copied_with_one(config, required):
    given = {"eps": 1e-3}
    assert config(**required, norm_cfg=given).norm_cfg == {}
    kept = config(**required, norm="layer", norm_cfg=given).norm_cfg
    assert kept == given
    assert kept is not given


def test_lists_become_tuples():
    layers = ConvNetConfig([4, 6], [ConvConfig(**CONV), ConvConfig(**CONV)])
    assert layers.channels == (4, 6)
    assert isinstance(layers.conv_cfgs, tuple)
    assert UNetConfig([4, 6], ConvConfig(**CONV)).channels == (4, 6)
    assert AdaptiveAveragePoolingConfig(3).output_size == (3, 3)
    assert AdaptiveAveragePoolingConfig([3, 2]).output_size == (3, 2)


def test_attention_in_a_unet_needs_heads():
    with pytest.raises(AssertionError, match="UNetConfig: has_attn=True needs nhead, got None"):
        UNetConfig((4,), ConvConfig(**CONV), has_attn=True)


def test_defaults_that_the_networks_rely_on():
    assert TransformerConfig(8, 2, 12, 1).output_activation == "GeLU"
    assert ViTConfig(2, TransformerConfig(8, 2, 12, 1)).cls_token is True
    assert ConvNetConfig((), ()).init_channel == 16
    assert networks.SoftmaxTransConfig(5, 0.1) == networks.SoftmaxTransConfig(5, 0.1, 0, 1.0, -1.0)


def test_omegaconf_containers_become_plain_ones():
    omegaconf = pytest.importorskip("omegaconf")
    layer = omegaconf.OmegaConf.create({**CONV, "norm": "group", "norm_cfg": {"num_groups": 2}})
    config = ConvNetConfig(omegaconf.OmegaConf.create([4]), [layer])
    config.dictcfg2dict()
    assert config.channels == (4,)
    assert config.conv_cfgs == (ConvConfig(**CONV, norm="group", norm_cfg={"num_groups": 2}),)
    assert type(config.conv_cfgs[0].norm_cfg) is dict

    linear = LinearConfig("ReLU", norm="layer")
    linear.norm_cfg = omegaconf.OmegaConf.create({"eps": 1e-3})
    encoder = EncoderConfig(config, MLPConfig(7, 1, "Tanh", linear))
    encoder.dictcfg2dict()
    assert type(linear.norm_cfg) is dict
    assert linear.norm_cfg == {"eps": 1e-3}


def test_load_config_reads_yaml(tmp_path):
    pytest.importorskip("omegaconf")
    (tmp_path / "mlp.yaml").write_text("hidden_dim: 7\nlinear_cfg: {activation: ReLU}\n")
    loaded = load_config(tmp_path / "mlp.yaml")
    assert loaded.hidden_dim == 7
    assert loaded.linear_cfg.activation == "ReLU"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("models.networks", {"torch", "jax", "flax", "omegaconf"}),
        ("models.networks.torch", {"jax", "flax"}),
        ("models.networks.jax", {"torch"}),
    ],
)
def test_imports_load_no_framework_but_their_own(module, absent):
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert not absent & set(loaded)
