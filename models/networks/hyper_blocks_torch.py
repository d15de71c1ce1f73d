"""Residual blocks whose convolutions a hypernetwork makes for each sample, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.networks.config import ConvConfig, MLPConfig
from models.networks.hypernet_torch import HyperNet
from models.networks.unet_blocks_torch import ConditionalResidualBlock1d, ConditionalResidualBlock2d

if TYPE_CHECKING:
    from jaxtyping import Float


def refuse_hyper_config(name: str, cfg: ConvConfig, axes: int) -> None:
    """Refuse layers that need a batch axis: samples go through one by one.

    Raises:
        ValueError: The config has a norm, or a scale factor over time.
    """
    if cfg.norm != "none":
        raise ValueError(f'{name}: generated convolutions take norm="none" alone, got {cfg.norm!r}')
    if axes == 1 and cfg.scale_factor != 0:
        raise ValueError(f"{name}: generated convolutions take scale_factor=0 alone, got {cfg.scale_factor}")


class HyperConditionalResidualBlock1d(ConditionalResidualBlock1d):
    """Two convolutions over time that a hypernetwork makes from each sample's condition.

    Their own weights are never used; the state holds them twice, as `first_conv`, `last_conv` and as
    `conv_layer`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        cond_dim: Width of the condition.
        conv_cfg: Both convolutions, without a norm or a scale factor; they have to keep the length.
        hyper_mlp_cfg: The hypernetwork's layers; None for a single linear map.

    Raises:
        ValueError: The config has a norm or a scale factor, or on a call in train mode dropout.

    Example:
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=3, stride=1, padding=1)
        >>> HyperConditionalResidualBlock1d(3, 5, 7, cfg)(torch.ones(2, 3, 11), torch.ones(2, 7)).shape
        torch.Size([2, 5, 11])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_dim: int,
        conv_cfg: ConvConfig,
        hyper_mlp_cfg: MLPConfig | None = None,
    ) -> None:
        refuse_hyper_config(type(self).__name__, conv_cfg, self.axes)
        super().__init__(in_channels, out_channels, cond_dim, conv_cfg)
        self.conv_layer = nn.Sequential(self.first_conv, self.last_conv)
        self.cond_encoder = HyperNet(cond_dim, dict(self.conv_layer.named_parameters()), hyper_mlp_cfg)

    def forward(self, x: Float[Tensor, "B C T"], cond: Float[Tensor, "B cond_dim"]) -> Float[Tensor, "B C_out T"]:
        return generated(self.conv_layer, self.cond_encoder(cond), x) + self.residual_conv(x)


class HyperConditionalResidualBlock2d(ConditionalResidualBlock2d):
    """Two convolutions of images that a hypernetwork makes from each sample's condition.

    Their own weights are never used; the state holds them twice, as `first_conv`, `last_conv` and as
    `conv_layer`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        cond_dim: Width of the condition.
        conv_cfg: Both convolutions, without a norm; they have to keep the size.
        hyper_mlp_cfg: The hypernetwork's layers; None for a single linear map.

    Raises:
        ValueError: The config has a norm, or on a call in train mode dropout.

    Example:
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=3, stride=1, padding=1)
        >>> HyperConditionalResidualBlock2d(3, 5, 7, cfg)(torch.ones(2, 3, 4, 6), torch.ones(2, 7)).shape
        torch.Size([2, 5, 4, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_dim: int,
        conv_cfg: ConvConfig,
        hyper_mlp_cfg: MLPConfig | None = None,
    ) -> None:
        refuse_hyper_config(type(self).__name__, conv_cfg, self.axes)
        super().__init__(in_channels, out_channels, cond_dim, conv_cfg)
        self.conv_layer = nn.Sequential(self.first_conv, self.last_conv)
        self.cond_encoder = HyperNet(cond_dim, dict(self.conv_layer.named_parameters()), hyper_mlp_cfg)

    def forward(self, x: Float[Tensor, "B C H W"], cond: Float[Tensor, "B cond_dim"]) -> Float[Tensor, "B C_out H W"]:
        return generated(self.conv_layer, self.cond_encoder(cond), x) + self.residual_conv(x)


def generated(layers: nn.Sequential, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    """Send each sample through layers with its own parameters.

    Args:
        layers: The layers.
        tensors: Each parameter by name, with a batch axis in front.
        x: (B, C, *).

    Raises:
        ValueError: There is dropout in train mode.
    """
    if any(isinstance(layer, nn.Dropout) and layer.training for layer in layers.modules()):
        raise ValueError("generated convolutions take no dropout in train mode: set dropout=0 or call eval()")
    samples = [
        functional_call(layers, {name: tensor[b] for name, tensor in tensors.items()}, (x[b],)) for b in range(len(x))
    ]
    return torch.stack(samples)
