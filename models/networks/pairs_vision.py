"""Claims on image networks: convolutional, residual and transformer, alone and inside encoders and decoders."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from models.networks.config import (
    AdaptiveAveragePoolingConfig,
    AttentionConfig,
    ConvConfig,
    ConvNetConfig,
    ResNetConfig,
    SpatialSoftmaxConfig,
    ViTConfig,
)
from models.networks.pairs_attention import transformer_configs
from models.networks.recipes import PADDING_MODES, UNGATED, Recipe, claim, linear_configs, mlp_configs
from models.networks.sizes import conv_out_shape
from models.networks.transposed_sizes import get_input_shape

OBS_SHAPES = ((3, 8, 12), (2, 9, 7))
_DROPOUT = st.sampled_from((0.0, 0.2))


@st.composite
def conv_nets(draw: st.DrawFn, *, transposed: bool) -> ConvNetConfig:
    """Draw two layers; an encoder's sizes stay large enough, a decoder's need no attention on odd sizes."""
    norm = draw(st.sampled_from(("none", "batch", "group")))
    kernel, stride, padding = draw(st.sampled_from(((3, 2, 1), (3, 1, 1), (4, 2, 1), (2, 1, 0))))
    layers = [
        ConvConfig(
            activation=name,
            kernel_size=kernel,
            stride=stride,
            padding=padding,
            padding_mode=draw(st.sampled_from(PADDING_MODES)) if not transposed else "zeros",
            dropout=draw(_DROPOUT),
            norm=norm,
            norm_cfg={"num_groups": 1} if norm == "group" else {},
        )
        for name in (draw(st.sampled_from(UNGATED)), draw(st.sampled_from(("Tanh", "SiGLU", "Identity"))))
    ]
    attention = draw(st.sampled_from((None, AttentionConfig(nhead=2, patch_size=1))))
    return ConvNetConfig((4, 6), tuple(layers), attention, init_channel=draw(st.sampled_from((5, 4))))


@st.composite
def res_nets(draw: st.DrawFn) -> ResNetConfig:
    """Draw a residual network; the widths of its scaling layers divide into the norm's groups."""
    norm = draw(st.sampled_from(("none", "batch", "group")))
    return ResNetConfig(
        conv_channel=8,
        conv_kernel=draw(st.sampled_from((3, 1))),
        f_kernel=draw(st.sampled_from((5, 3))),
        conv_activation=draw(st.sampled_from(UNGATED)),
        out_activation=draw(st.sampled_from(("Tanh", "Sigmoid"))),
        n_res_blocks=draw(st.sampled_from((1, 2, 0))),
        scale_factor=2,
        n_scaling=draw(st.sampled_from((1, 2))),
        norm=norm,
        norm_cfg={"num_groups": 2} if norm == "group" else {},
        dropout=draw(_DROPOUT),
        init_channel=3,
        padding_mode=draw(st.sampled_from(PADDING_MODES)),
        attention=draw(st.sampled_from((None, AttentionConfig(nhead=2, patch_size=1)))),
    )


def vits() -> st.SearchStrategy[ViTConfig]:
    """Draw a vision transformer."""
    return st.builds(
        ViTConfig,
        patch_size=st.sampled_from((2, 4)),
        transformer_cfg=transformer_configs(hidden_activation=st.sampled_from(("GELU", "ReLU", "Tanh"))),
        cls_token=st.booleans(),
        decoder_output_activation=st.sampled_from(("Identity", "Tanh")),
    )


def _conv_net(obs_shape: tuple[int, ...], cfg: ConvNetConfig) -> Recipe:
    return Recipe("ConvNet", {"obs_shape": obs_shape, "cfg": cfg}, ((3, *obs_shape),))


def _transposed(obs_shape: tuple[int, ...], cfg: ConvNetConfig) -> Recipe:
    in_shape = get_input_shape(obs_shape, cfg)
    return Recipe("ConvTranspose", {"in_shape": in_shape, "obs_shape": obs_shape, "cfg": cfg}, ((3, *in_shape),))


def _unshuffle(cfg: ResNetConfig) -> Recipe:
    return Recipe("ResNetPixUnshuffle", {"obs_shape": (3, 8, 12), "cfg": cfg}, ((2, 3, 8, 12),))


def _shuffle(cfg: ResNetConfig) -> Recipe:
    scale = 2**cfg.n_scaling
    in_shape = (5, 8 // scale, 12 // scale)
    return Recipe("ResNetPixShuffle", {"in_shape": in_shape, "obs_shape": (3, 8, 12), "cfg": cfg}, ((2, *in_shape),))


def _vit_encoder(cfg: ViTConfig) -> Recipe:
    return Recipe("ViT", {"in_shape": (3, 8, 12), "cfg": cfg}, ((2, 3, 8, 12),))


def _vit_decoder(cfg: ViTConfig, batch: tuple[int, ...]) -> Recipe:
    return Recipe("ViT", {"in_shape": (8,), "cfg": cfg, "obs_shape": (3, 8, 12)}, ((*batch, 8),))


@st.composite
def _encoder(draw: st.DrawFn) -> Recipe:
    """Every backbone with every kind of layer behind it, and leading axes."""
    dense = st.one_of(linear_configs(), mlp_configs())
    backbone: Any = draw(st.one_of(conv_nets(transposed=False), res_nets(), vits()))
    if isinstance(backbone, ViTConfig):
        behind: Any = draw(st.one_of(st.none(), dense))
    else:
        extra = draw(st.one_of(st.none(), dense))
        pooling = (AdaptiveAveragePoolingConfig((2, 3), extra), SpatialSoftmaxConfig(0.7, additional_layer=extra))
        behind = draw(st.one_of(st.none(), dense, st.sampled_from(pooling)))
    feature_dim = 5 if behind is not None else _bare_feature(backbone)
    arguments = {"feature_dim": feature_dim, "obs_shape": (3, 8, 12), "backbone_cfg": backbone, "fc_cfg": behind}
    return Recipe("Encoder", arguments, ((*draw(st.sampled_from(((3,), (2, 2)))), 3, 8, 12),))


def _bare_feature(backbone: Any) -> Any:
    """The `feature_dim` of an encoder with nothing behind its backbone."""
    if isinstance(backbone, ViTConfig):
        return 8
    if isinstance(backbone, ResNetConfig):
        return (8, 8 // 2**backbone.n_scaling, 12 // 2**backbone.n_scaling)
    size: tuple[int, ...] = (8, 12)
    for layer in backbone.conv_cfgs:
        size = conv_out_shape(size, layer.padding, layer.kernel_size, layer.stride, layer.dilation)
    return (6, *size)


@st.composite
def _decoder(draw: st.DrawFn) -> Recipe:
    """Every backbone with dense layers in front of it, and leading axes."""
    backbone: Any = draw(st.one_of(conv_nets(transposed=True), res_nets(), vits()))
    front = draw(st.one_of(linear_configs(), mlp_configs()))
    arguments = {"feature_dim": 5, "obs_shape": (3, 8, 12), "backbone_cfg": backbone, "fc_cfg": front}
    return Recipe("Decoder", arguments, ((*draw(st.sampled_from(((3,), (2, 2)))), 5),))


CONV_NET = claim("ConvNet", st.builds(_conv_net, st.sampled_from(OBS_SHAPES), conv_nets(transposed=False)))
CONV_TRANSPOSE = claim("ConvTranspose", st.builds(_transposed, st.sampled_from(OBS_SHAPES), conv_nets(transposed=True)))
RES_NET_ENCODER = claim("ResNetPixUnshuffle", res_nets().map(_unshuffle))
RES_NET_DECODER = claim("ResNetPixShuffle", res_nets().map(_shuffle))
VIT_ENCODER = claim("ViT encoder", vits().map(_vit_encoder))
VIT_DECODER = claim("ViT decoder", st.builds(_vit_decoder, vits(), st.sampled_from(((3,), (3, 1)))))
ENCODER = claim("Encoder", _encoder())
DECODER = claim("Decoder", _decoder())
