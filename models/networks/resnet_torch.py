"""Residual networks that resample by pixel shuffles, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from models.networks.attention_torch import Attention2d
from models.networks.convolution_torch import ConvNormActivation, ResidualBlock
from models.networks.resnet_layers import inner_layer, input_layer, output_layer, scaled_size

if TYPE_CHECKING:
    from jaxtyping import Float

    from models.networks.config import ResNetConfig


def _res_blocks(cfg: ResNetConfig) -> nn.Sequential:
    blocks: list[nn.Module] = []
    for _ in range(cfg.n_res_blocks):
        blocks.append(
            ResidualBlock(
                cfg.conv_channel,
                cfg.conv_kernel,
                cfg.conv_activation,
                cfg.norm,
                cfg.norm_cfg,
                cfg.dropout,
                cfg.padding_mode,
            )
        )
        if cfg.attention is not None:
            blocks.append(Attention2d(cfg.conv_channel, attn_cfg=cfg.attention))
    return nn.Sequential(*blocks)


class ResNetPixUnshuffle(nn.Module):
    """Image to a feature map that is smaller by scale_factor^n_scaling.

    Args:
        obs_shape: (C, H, W) of the image.
        cfg: The layers; `out_activation` has no effect.

    Example:
        >>> import torch
        >>> from models.networks import ResNetConfig
        >>> cfg = ResNetConfig(8, 3, 5, "ReLU", "Tanh", n_res_blocks=1, n_scaling=1)
        >>> ResNetPixUnshuffle((3, 4, 6), cfg)(torch.ones(2, 3, 4, 6)).shape
        torch.Size([2, 8, 2, 3])
    """

    def __init__(self, obs_shape: tuple[int, int, int], cfg: ResNetConfig) -> None:
        super().__init__()
        cc = cfg.conv_channel
        self.obs_shape = obs_shape
        self.last_channel = cc
        self.conved_shape = scaled_size(obs_shape, cfg)
        self.conved_size = cc * self.conved_shape[0] * self.conved_shape[1]
        scaling = inner_layer(cfg, -cfg.scale_factor)
        self.conv1 = ConvNormActivation(obs_shape[0], cc, input_layer(cfg))
        self.downsample = nn.Sequential(*(ConvNormActivation(cc, cc, scaling) for _ in range(cfg.n_scaling)))
        self.res_blocks = _res_blocks(cfg)
        self.conv2 = ConvNormActivation(cc, cc, inner_layer(cfg))
        self.conv3 = ConvNormActivation(cc, cc, inner_layer(cfg))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B cc H_out W_out"]:
        y = self.downsample(self.conv1(x))
        return self.conv3(y + self.conv2(self.res_blocks(y)))


class ResNetPixShuffle(nn.Module):
    """Feature map to an image that is larger by scale_factor^n_scaling.

    Args:
        in_shape: (C, H, W) of the feature map.
        obs_shape: (C, H, W) of the image.
        cfg: The layers.

    Raises:
        AssertionError: The sizes of the two shapes do not fit.

    Example:
        >>> import torch
        >>> from models.networks import ResNetConfig
        >>> cfg = ResNetConfig(8, 3, 5, "ReLU", "Tanh", n_res_blocks=1, n_scaling=1)
        >>> ResNetPixShuffle((5, 2, 3), (3, 4, 6), cfg)(torch.ones(2, 5, 2, 3)).shape
        torch.Size([2, 3, 4, 6])
    """

    def __init__(self, in_shape: tuple[int, int, int], obs_shape: tuple[int, int, int], cfg: ResNetConfig) -> None:
        super().__init__()
        cc = cfg.conv_channel
        size = scaled_size(obs_shape, cfg)
        assert tuple(in_shape[1:]) == size, (
            f"ResNetPixShuffle: expected in_shape (C, {size[0]}, {size[1]}) for obs_shape {tuple(obs_shape)}, "
            f"got {tuple(in_shape)}"
        )
        self.in_shape = in_shape
        self.obs_shape = obs_shape
        scaling = inner_layer(cfg, cfg.scale_factor)
        self.conv1 = ConvNormActivation(in_shape[0], cc, inner_layer(cfg))
        self.res_blocks = _res_blocks(cfg)
        self.conv2 = ConvNormActivation(cc, cc, inner_layer(cfg))
        self.upsampling = nn.Sequential(*(ConvNormActivation(cc, cc, scaling) for _ in range(cfg.n_scaling)))
        self.conv3 = ConvNormActivation(cc, obs_shape[0], output_layer(cfg))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C_obs H_obs W_obs"]:
        y = self.conv1(x)
        return self.conv3(self.upsampling(y + self.conv2(self.res_blocks(y))))

    @staticmethod
    def get_input_shape(obs_shape: tuple[int, int, int], cfg: ResNetConfig) -> tuple[int, int, int]:
        """Return the (C, H, W) from which the layers make `obs_shape`."""
        return (cfg.init_channel, *scaled_size(obs_shape, cfg))
