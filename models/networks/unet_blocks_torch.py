"""Residual blocks that a condition modulates, torch."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

from models.networks.config import ConvConfig
from models.networks.convolution_torch import ConvNormActivation, ConvNormActivation1d

if TYPE_CHECKING:
    from jaxtyping import Float


class ConditionalResidualBlock(nn.Module):
    """Two convolutions around a shift (and scale) of the channels that the condition predicts; abstract."""

    axes: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_dim: int,
        conv_cfg: ConvConfig,
        cond_predict_scale: bool = False,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.cond_predict_scale = cond_predict_scale
        self.first_conv = self._layer(in_channels, out_channels, conv_cfg)
        self.last_conv = self._layer(out_channels, out_channels, conv_cfg)
        width = 2 * out_channels if cond_predict_scale else out_channels
        self.cond_encoder: nn.Module = nn.Sequential(nn.Linear(cond_dim, width))
        same = in_channels == out_channels
        self.residual_conv = nn.Identity() if same else self._pointwise(in_channels, out_channels)

    @abstractmethod
    def _layer(self, in_channels: int, out_channels: int, cfg: ConvConfig) -> nn.Module: ...

    @abstractmethod
    def _pointwise(self, in_channels: int, out_channels: int) -> nn.Module: ...

    def forward(
        self, x: Float[Tensor, "B C *space"], cond: Float[Tensor, "B cond_dim"]
    ) -> Float[Tensor, "B C_out *space"]:
        shift = self.cond_encoder(cond).unflatten(-1, (-1, self.out_channels, *(1,) * self.axes))
        out = self.first_conv(x)
        if self.cond_predict_scale:
            out = shift[:, 0] * out + shift[:, 1]  # the scale is not 1 + …
        else:
            out = out + shift[:, 0]
        return self.last_conv(out) + self.residual_conv(x)


class ConditionalResidualBlock1d(ConditionalResidualBlock):
    """Two convolutions over time around a shift (and scale) of the channels that the condition predicts.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        cond_dim: Width of the condition.
        conv_cfg: Both convolutions; they have to keep the length.
        cond_predict_scale: Scale the channels too.

    Example:
        >>> import torch
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=3, stride=1, padding=1)
        >>> ConditionalResidualBlock1d(3, 5, 7, cfg)(torch.ones(2, 3, 11), torch.ones(2, 7)).shape
        torch.Size([2, 5, 11])

    References:
        Perez et al., 2018: FiLM: Visual reasoning with a general conditioning layer.
    """

    axes = 1

    def _layer(self, in_channels: int, out_channels: int, cfg: ConvConfig) -> nn.Module:
        return ConvNormActivation1d(in_channels, out_channels, cfg)

    def _pointwise(self, in_channels: int, out_channels: int) -> nn.Module:
        return nn.Conv1d(in_channels, out_channels, 1)


class ConditionalResidualBlock2d(ConditionalResidualBlock):
    """Two convolutions of images around a shift (and scale) of the channels that the condition predicts.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        cond_dim: Width of the condition.
        conv_cfg: Both convolutions; they have to keep the size.
        cond_predict_scale: Scale the channels too.

    Example:
        >>> import torch
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=3, stride=1, padding=1)
        >>> ConditionalResidualBlock2d(3, 5, 7, cfg)(torch.ones(2, 3, 4, 6), torch.ones(2, 7)).shape
        torch.Size([2, 5, 4, 6])

    References:
        Perez et al., 2018: FiLM: Visual reasoning with a general conditioning layer.
    """

    axes = 2

    def _layer(self, in_channels: int, out_channels: int, cfg: ConvConfig) -> nn.Module:
        return ConvNormActivation(in_channels, out_channels, cfg)

    def _pointwise(self, in_channels: int, out_channels: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 1)
