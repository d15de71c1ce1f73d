"""Stacks of convolutions, as encoder and as transposed decoder, torch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor, nn

from models.networks.attention_torch import Attention2d
from models.networks.convolution_torch import ConvNormActivation
from models.networks.sizes import conv_out_shape
from models.networks.transposed_sizes import get_input_shape, output_paddings
from models.networks.transposed_torch import ConvTransposeNormActivation

if TYPE_CHECKING:
    from jaxtyping import Float

    from models.networks.config import ConvNetConfig


class ConvNet(nn.Module):
    """Convolutions one after the other, each followed by attention if there is any.

    Args:
        obs_shape: (C, H, W) of the input.
        cfg: The layers; `conved_shape` does not heed their `scale_factor`.

    Raises:
        IndexError: Fewer layer configs than channels.

    Example:
        >>> import torch
        >>> from models.networks import ConvConfig, ConvNetConfig
        >>> cfg = ConvNetConfig((4, 6), (ConvConfig("ReLU", kernel_size=3, stride=2, padding=1),) * 2)
        >>> ConvNet((3, 8, 12), cfg)(torch.ones(2, 3, 8, 12)).shape
        torch.Size([2, 6, 2, 3])
    """

    def __init__(self, obs_shape: tuple[int, int, int], cfg: ConvNetConfig) -> None:
        super().__init__()
        self.obs_shape = obs_shape
        layers: list[nn.Module] = []
        width, size = obs_shape[0], tuple(obs_shape[1:])
        for i, channels in enumerate(cfg.channels):
            layer = cfg.conv_cfgs[i]
            layers.append(ConvNormActivation(width, channels, layer))
            if cfg.attention is not None:
                layers.append(Attention2d(channels, attn_cfg=cfg.attention))
            size = conv_out_shape(size, layer.padding, layer.kernel_size, layer.stride, layer.dilation)
            width = channels
        self.conv = nn.Sequential(*layers)
        self.last_channel = cfg.channels[-1]
        self.conved_shape = size
        self.conved_size = self.last_channel * size[0] * size[1]

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C_out H_out W_out"]:
        return self.conv(x)


class ConvTranspose(nn.Module):
    """Transposed convolutions one after the other, each preceded by attention if there is any.

    Where their sizes miss `obs_shape` because no output padding is set, it is chosen per layer and axis.

    Args:
        in_shape: (C, H, W) of the input.
        obs_shape: (C, H, W) of the output.
        cfg: The layers; `channels` are their input channels.

    Raises:
        AssertionError: Unequal numbers of channels and layer configs, or sizes that do not lead to `obs_shape`.

    Example:
        >>> import torch
        >>> from models.networks import ConvConfig, ConvNetConfig
        >>> cfg = ConvNetConfig((6, 4), (ConvConfig("ReLU", kernel_size=3, stride=2, padding=1),) * 2)
        >>> ConvTranspose((5, 2, 3), (3, 8, 12), cfg)(torch.ones(2, 5, 2, 3)).shape
        torch.Size([2, 3, 8, 12])
    """

    def __init__(self, in_shape: tuple[int, int, int], obs_shape: tuple[int, int, int], cfg: ConvNetConfig) -> None:
        super().__init__()
        self.in_shape = in_shape
        self.obs_shape = obs_shape
        self.channels = (*cfg.channels, obs_shape[0])
        paddings = output_paddings(in_shape, obs_shape, cfg)
        self.first_conv: nn.Module = nn.Identity()
        if in_shape[0] != cfg.channels[0]:
            self.first_conv = nn.Conv2d(in_shape[0], cfg.channels[0], kernel_size=1)
        layers: list[nn.Module] = []
        for i, (layer, padding) in enumerate(zip(cfg.conv_cfgs, paddings, strict=True)):
            if cfg.attention is not None:
                layers.append(Attention2d(self.channels[i], attn_cfg=cfg.attention))
            layer = replace(layer, output_padding=padding)
            layers.append(ConvTransposeNormActivation(self.channels[i], self.channels[i + 1], layer))
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C_obs H_obs W_obs"]:
        return self.conv(self.first_conv(x))

    @staticmethod
    def get_input_shape(obs_shape: tuple[int, int, int], cfg: ConvNetConfig) -> tuple[int, int, int]:
        """Return the (C, H, W) from which the layers make `obs_shape`, by their sizes without output padding."""
        return get_input_shape(obs_shape, cfg)
