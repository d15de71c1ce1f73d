"""Conditional U-Nets, torch."""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from models.networks.attention_torch import Attention1d, Attention2d
from models.networks.convolution_torch import ConvNormActivation, ConvNormActivation1d
from models.networks.hyper_blocks_torch import HyperConditionalResidualBlock1d
from models.networks.resampling_torch import Downsample1d, Downsample2d, Upsample1d, Upsample2d
from models.networks.unet_blocks_torch import ConditionalResidualBlock1d, ConditionalResidualBlock2d
from models.networks.unet_sizes import refuse_unet_sizes

if TYPE_CHECKING:
    from jaxtyping import Float

    from models.networks.config import UNetConfig


def _parts(level: nn.Module) -> tuple[nn.Module, ...]:
    return tuple(level.children())


class ConditionalUnet(nn.Module):
    """A U-Net whose blocks a condition modulates; abstract."""

    def __init__(self, feature_dim: int, obs_shape: tuple[int, ...], cfg: UNetConfig) -> None:
        super().__init__()
        refuse_unet_sizes(type(self).__name__, obs_shape, cfg)
        self.feature_dim = feature_dim
        self.obs_shape = tuple(obs_shape)
        levels = list(pairwise([obs_shape[0], *cfg.channels]))
        deepest = cfg.channels[-1]
        self.mid_modules = self._level(cfg, deepest, deepest)
        down = nn.ModuleList(
            self._level(cfg, a, b, lambda b=b, i=i: self._downsample(cfg, b) if i + 1 < len(levels) else nn.Identity())
            for i, (a, b) in enumerate(levels)
        )
        up = (self._level(cfg, 2 * b, a, lambda a=a: self._upsample(cfg, a)) for a, b in reversed(levels[1:]))
        self.up_modules = nn.ModuleList(up)  # listed first in the state, but drawn after `down`
        self.down_modules = down
        self.final_conv = self._final(cfg, cfg.channels[0], obs_shape[0])

    def _level(self, cfg: UNetConfig, in_channels: int, out_channels: int, *resample: Any) -> nn.ModuleList:
        """Build block, attention, block and what resamples, in the order of torch's random draws."""
        return nn.ModuleList(
            [
                self._block(cfg, in_channels, out_channels),
                self._attention(cfg, out_channels) if cfg.has_attn and cfg.nhead else nn.Identity(),
                self._block(cfg, out_channels, out_channels),
                *(build() for build in resample),
            ]
        )

    @abstractmethod
    def _block(self, cfg: UNetConfig, in_channels: int, out_channels: int) -> nn.Module: ...

    @abstractmethod
    def _attention(self, cfg: UNetConfig, channels: int) -> nn.Module: ...

    @abstractmethod
    def _downsample(self, cfg: UNetConfig, channels: int) -> nn.Module: ...

    @abstractmethod
    def _upsample(self, cfg: UNetConfig, channels: int) -> nn.Module: ...

    @abstractmethod
    def _final(self, cfg: UNetConfig, channels: int, out_channels: int) -> nn.Module: ...

    def forward(
        self, base: Float[Tensor, "*batch C *space"], cond: Float[Tensor, "*batch feature_dim"]
    ) -> Float[Tensor, "*batch C *space"]:
        axes = len(self.obs_shape)
        assert tuple(base.shape[-axes:]) == self.obs_shape, (
            f"{type(self).__name__}: expected an input (*, {', '.join(map(str, self.obs_shape))}), "
            f"got shape {tuple(base.shape)}"
        )
        x = base.reshape(-1, *self.obs_shape)
        cond = cond.reshape(-1, cond.shape[-1])
        skips = []
        for first, attention, second, downsample in map(_parts, self.down_modules):
            x = second(attention(first(x, cond)), cond)
            skips.append(x)
            x = downsample(x)
        first, attention, second = self.mid_modules
        x = second(attention(first(x, cond)), cond)
        for first, attention, second, upsample in map(_parts, self.up_modules):
            x = torch.cat([x, skips.pop()], dim=1)
            x = upsample(second(attention(first(x, cond)), cond))
        return self.final_conv(x).reshape(base.shape)


class ConditionalUnet1d(ConditionalUnet):
    """A U-Net over time whose blocks a condition modulates.

    Args:
        feature_dim: Width of the condition.
        obs_shape: (C, T); T divisible by 2 to the power of the levels less one.
        cfg: The network; with `use_hypernet` the condition makes the blocks' weights.

    Raises:
        ValueError: The sizes cannot be halved and restored.
        AssertionError: On a call whose input has another shape.

    Example:
        >>> from models.networks import ConvConfig, UNetConfig
        >>> conv_cfg = ConvConfig(activation="SiLU", kernel_size=3, stride=1, padding=1)
        >>> unet = ConditionalUnet1d(7, (3, 8), UNetConfig(channels=(4, 6), conv_cfg=conv_cfg))
        >>> unet(torch.ones(2, 3, 8), torch.ones(2, 7)).shape
        torch.Size([2, 3, 8])

    References:
        Ronneberger et al., 2015: U-Net. Chi et al., 2023: Diffusion policy.
    """

    def _block(self, cfg: UNetConfig, in_channels: int, out_channels: int) -> nn.Module:
        if cfg.use_hypernet:
            return HyperConditionalResidualBlock1d(
                in_channels, out_channels, self.feature_dim, cfg.conv_cfg, cfg.hyper_mlp_cfg
            )
        return ConditionalResidualBlock1d(
            in_channels, out_channels, self.feature_dim, cfg.conv_cfg, cfg.cond_pred_scale
        )

    def _attention(self, cfg: UNetConfig, channels: int) -> nn.Module:
        return Attention1d(channels, cfg.nhead)

    def _downsample(self, cfg: UNetConfig, channels: int) -> nn.Module:
        return Downsample1d(channels, cfg.use_shuffle)

    def _upsample(self, cfg: UNetConfig, channels: int) -> nn.Module:
        return Upsample1d(channels, cfg.use_shuffle)

    def _final(self, cfg: UNetConfig, channels: int, out_channels: int) -> nn.Module:
        return nn.Sequential(
            ConvNormActivation1d(channels, channels, cfg.conv_cfg), nn.Conv1d(channels, out_channels, 1)
        )


class ConditionalUnet2d(ConditionalUnet):
    """A U-Net over images whose blocks a condition modulates.

    Args:
        feature_dim: Width of the condition.
        obs_shape: (C, H, W); H and W divisible by 2 to the power of the levels less one.
        cfg: The network; `use_hypernet` has no effect here.

    Raises:
        ValueError: The sizes cannot be halved and restored.
        AssertionError: On a call whose input has another shape.

    Example:
        >>> from models.networks import ConvConfig, UNetConfig
        >>> conv_cfg = ConvConfig(activation="SiLU", kernel_size=3, stride=1, padding=1)
        >>> unet = ConditionalUnet2d(7, (3, 8, 6), UNetConfig(channels=(4, 6), conv_cfg=conv_cfg))
        >>> unet(torch.ones(2, 3, 8, 6), torch.ones(2, 7)).shape
        torch.Size([2, 3, 8, 6])

    References:
        Ronneberger et al., 2015: U-Net.
    """

    def _block(self, cfg: UNetConfig, in_channels: int, out_channels: int) -> nn.Module:
        return ConditionalResidualBlock2d(
            in_channels, out_channels, self.feature_dim, cfg.conv_cfg, cfg.cond_pred_scale
        )

    def _attention(self, cfg: UNetConfig, channels: int) -> nn.Module:
        return Attention2d(channels, cfg.nhead)

    def _downsample(self, cfg: UNetConfig, channels: int) -> nn.Module:
        return Downsample2d(channels, cfg.use_shuffle)

    def _upsample(self, cfg: UNetConfig, channels: int) -> nn.Module:
        return Upsample2d(channels, cfg.use_shuffle)

    def _final(self, cfg: UNetConfig, channels: int, out_channels: int) -> nn.Module:
        return nn.Sequential(ConvNormActivation(channels, channels, cfg.conv_cfg), nn.Conv2d(channels, out_channels, 1))
