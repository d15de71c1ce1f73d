"""Transposed convolutional layers, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from models.networks.activations_torch import Activation
from models.networks.convolution_torch import convolution_norm
from models.networks.convolving import transposed_arguments
from models.networks.sizes import is_glu_like

if TYPE_CHECKING:
    from jaxtyping import Float

    from models.networks.config import ConvConfig


class ConvTransposeNormActivation(nn.Module):
    """Transposed convolution, norm, activation and dropout.

    The config's `norm_first`, `padding_mode` and `scale_factor` have no effect.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; doubled before a gated activation.
        cfg: The layer.

    Example:
        >>> import torch
        >>> from models.networks import ConvConfig
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=4, stride=2, padding=1)
        >>> ConvTransposeNormActivation(3, 5, cfg)(torch.ones(2, 3, 7, 4)).shape
        torch.Size([2, 5, 14, 8])
    """

    def __init__(self, in_channels: int, out_channels: int, cfg: ConvConfig) -> None:
        super().__init__()
        width = 2 * out_channels if is_glu_like(cfg.activation) else out_channels
        self.conv = nn.ConvTranspose2d(in_channels, width, **transposed_arguments(cfg))
        self.norm = convolution_norm(cfg, "batch2d", width, width)
        self.activation = Activation(cfg.activation, dim=-3)
        self.dropout = nn.Dropout(cfg.dropout) if cfg.dropout > 0 else nn.Identity()

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C_out H_out W_out"]:
        return self.dropout(self.activation(self.norm(self.conv(x))))


class ConvTransposeNormActivation1d(nn.Module):
    """Transposed convolution, norm, activation and dropout over time.

    The config's `norm_first`, `padding_mode` and `scale_factor` have no effect.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; doubled before a gated activation.
        cfg: The layer.

    Example:
        >>> import torch
        >>> from models.networks import ConvConfig
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=4, stride=2, padding=1)
        >>> ConvTransposeNormActivation1d(3, 5, cfg)(torch.ones(2, 3, 7)).shape
        torch.Size([2, 5, 14])
    """

    def __init__(self, in_channels: int, out_channels: int, cfg: ConvConfig) -> None:
        super().__init__()
        width = 2 * out_channels if is_glu_like(cfg.activation) else out_channels
        self.conv = nn.ConvTranspose1d(in_channels, width, **transposed_arguments(cfg))
        self.norm = convolution_norm(cfg, "batch1d", width, width)
        self.activation = Activation(cfg.activation, dim=-2)
        self.dropout = nn.Dropout(cfg.dropout) if cfg.dropout > 0 else nn.Identity()

    def forward(self, x: Float[Tensor, "B C T"]) -> Float[Tensor, "B C_out T_out"]:
        return self.dropout(self.activation(self.norm(self.conv(x))))
