"""Convolutional layers, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from models.networks.activations_torch import Activation
from models.networks.config import ConvConfig, PaddingMode
from models.networks.convolving import convolution_arguments
from models.networks.norms_torch import get_norm
from models.networks.shuffle_torch import HorizonShuffle, HorizonUnShuffle
from models.networks.sizes import is_glu_like, scaled_width

if TYPE_CHECKING:
    from jaxtyping import Float


def convolution_norm(cfg: ConvConfig, kind: str, in_width: int, out_width: int) -> nn.Module:
    """Build the norm of a convolutional layer.

    Args:
        cfg: The layer.
        kind: Name of the batch norm, "batch2d" or "batch1d".
        in_width: Channels to normalise if `cfg.norm_first` and the norm is a group norm.
        out_width: Channels to normalise otherwise: a batch norm is sized by the output even in front.
    """
    if cfg.norm == "batch":
        return get_norm(kind, **{**cfg.norm_cfg, "num_features": out_width})
    width = in_width if cfg.norm_first else out_width
    return get_norm(cfg.norm, **{**cfg.norm_cfg, "num_channels": width})


class ConvNormActivation(nn.Module):
    """Convolution, norm, pixel shuffle, activation and dropout; with `norm_first` the norm comes first.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; doubled before a gated activation.
        cfg: The layer.

    Example:
        >>> import torch
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=3, stride=1, padding=1, scale_factor=2)
        >>> ConvNormActivation(3, 5, cfg)(torch.ones(2, 3, 7, 4)).shape
        torch.Size([2, 5, 14, 8])
    """

    def __init__(self, in_channels: int, out_channels: int, cfg: ConvConfig) -> None:
        super().__init__()
        self.norm_first = cfg.norm_first
        width = 2 * out_channels if is_glu_like(cfg.activation) else out_channels
        width = scaled_width(width, cfg.scale_factor, axes=2)
        self.conv = nn.Conv2d(in_channels, width, **convolution_arguments(cfg))
        self.norm = convolution_norm(cfg, "batch2d", in_channels, width)
        self.shuffle: nn.Module = nn.Identity()
        if cfg.scale_factor > 0:
            self.shuffle = nn.PixelShuffle(cfg.scale_factor)
        elif cfg.scale_factor < 0:
            self.shuffle = nn.PixelUnshuffle(-cfg.scale_factor)
        self.activation = Activation(cfg.activation, dim=-3)
        self.dropout = nn.Dropout(cfg.dropout) if cfg.dropout > 0 else nn.Identity()

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C_out H_out W_out"]:
        x = self.conv(self.norm(x)) if self.norm_first else self.norm(self.conv(x))
        return self.dropout(self.activation(self.shuffle(x)))


class ConvNormActivation1d(nn.Module):
    """Convolution, shuffle, norm, activation and dropout over time; with `norm_first` the norm comes first.

    Without `norm_first` the norm sees shuffled channels but is sized for unshuffled ones, so that a scale
    factor and a norm together fail on the call.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; doubled before a gated activation.
        cfg: The layer.

    Example:
        >>> import torch
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=3, stride=1, padding=1, scale_factor=2)
        >>> ConvNormActivation1d(3, 5, cfg)(torch.ones(2, 3, 7)).shape
        torch.Size([2, 5, 14])
    """

    def __init__(self, in_channels: int, out_channels: int, cfg: ConvConfig) -> None:
        super().__init__()
        self.norm_first = cfg.norm_first
        width = 2 * out_channels if is_glu_like(cfg.activation) else out_channels
        width = scaled_width(width, cfg.scale_factor, axes=1)
        self.conv = nn.Conv1d(in_channels, width, **convolution_arguments(cfg))
        self.norm = convolution_norm(cfg, "batch1d", in_channels, width)
        self.shuffle: nn.Module = nn.Identity()
        if cfg.scale_factor > 0:
            self.shuffle = HorizonShuffle(cfg.scale_factor)
        elif cfg.scale_factor < 0:
            self.shuffle = HorizonUnShuffle(-cfg.scale_factor)
        self.activation = Activation(cfg.activation, dim=-2)
        self.dropout = nn.Dropout(cfg.dropout) if cfg.dropout > 0 else nn.Identity()

    def forward(self, x: Float[Tensor, "B C T"]) -> Float[Tensor, "B C_out T_out"]:
        if self.norm_first:
            x = self.shuffle(self.conv(self.norm(x)))
        else:
            x = self.norm(self.shuffle(self.conv(x)))
        return self.dropout(self.activation(x))


class ResidualBlock(nn.Module):
    """act(x + second(first(x))) with two convolutions that keep the size.

    A gated activation doubles what the second convolution gives, and the sum then fails on the call.

    Args:
        in_features: Channels.
        kernel_size: Width of the square kernels; odd.
        activation: Activation of the first convolution and of the sum.
        norm: Norm of both convolutions.
        norm_cfg: Its keywords.
        dropout: Rate, in both.
        padding_mode: What the padding holds.

    Example:
        >>> import torch
        >>> ResidualBlock(3, 3)(torch.ones(2, 3, 7, 4)).shape
        torch.Size([2, 3, 7, 4])
    """

    def __init__(
        self,
        in_features: int,
        kernel_size: int,
        activation: str = "ReLU",
        norm: Any = "none",
        norm_cfg: dict[str, Any] | None = None,
        dropout: float = 0.0,
        padding_mode: PaddingMode = "zeros",
    ) -> None:
        super().__init__()
        width = 2 * in_features if is_glu_like(activation) else in_features
        cfgs = [
            ConvConfig(
                activation=name,
                kernel_size=kernel_size,
                stride=1,
                padding=(kernel_size - 1) // 2,
                padding_mode=padding_mode,
                dropout=dropout,
                norm=norm,
                norm_cfg=norm_cfg or {},
            )
            for name in (activation, "Identity")
        ]
        self.conv_block = nn.Sequential(
            ConvNormActivation(in_features, in_features, cfgs[0]),
            ConvNormActivation(in_features, width, cfgs[1]),
        )
        self.activation = Activation(activation, dim=-3)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return self.activation(x + self.conv_block(x))
