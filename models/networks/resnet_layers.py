"""The layers of the residual networks as configs of single convolutions; no framework.

All of them keep the size, but for the pixel shuffle of the scaling layers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from models.networks.config import ConvConfig

if TYPE_CHECKING:
    from models.networks.config import ResNetConfig


def inner_layer(cfg: ResNetConfig, scale_factor: int = 0) -> ConvConfig:
    """Return a layer inside the network.

    Args:
        cfg: The network.
        scale_factor: Of its pixel shuffle; negative for the inverse, 0 for none.
    """
    return ConvConfig(
        activation=cfg.conv_activation,
        kernel_size=cfg.conv_kernel,
        stride=1,
        padding=cfg.conv_kernel // 2,
        padding_mode=cfg.padding_mode,
        dropout=cfg.dropout,
        norm=cfg.norm,
        norm_cfg=cfg.norm_cfg,
        scale_factor=scale_factor,
    )


def input_layer(cfg: ResNetConfig) -> ConvConfig:
    """Return the encoder's first layer, next to the image."""
    return replace(inner_layer(cfg), kernel_size=cfg.f_kernel, padding=cfg.f_kernel // 2)


def output_layer(cfg: ResNetConfig) -> ConvConfig:
    """Return the decoder's last layer, next to the image: without norm and dropout."""
    return replace(input_layer(cfg), activation=cfg.out_activation, norm="none", dropout=0.0)


def scaled_size(obs_shape: tuple[int, ...], cfg: ResNetConfig) -> tuple[int, int]:
    """Return the height and width of the feature map."""
    scale = cfg.scale_factor**cfg.n_scaling
    return (obs_shape[1] // scale, obs_shape[2] // scale)
