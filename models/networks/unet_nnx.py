"""Conditional U-Nets, Flax NNX; channels first, as in torch."""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from flax import nnx

from models.networks.attention_nnx import Attention1d, Attention2d
from models.networks.convolution_nnx import ConvNormActivation, ConvNormActivation1d
from models.networks.hyper_blocks_nnx import HyperConditionalResidualBlock1d
from models.networks.kernels_nnx import Conv1d, Conv2d
from models.networks.modules_nnx import Identity, RngsLike, Sequential, as_rngs
from models.networks.resampling_nnx import Downsample1d, Downsample2d, Upsample1d, Upsample2d
from models.networks.unet_blocks_nnx import ConditionalResidualBlock1d, ConditionalResidualBlock2d
from models.networks.unet_sizes import refuse_unet_sizes

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float

    from models.networks.config import UNetConfig


class ConditionalUnet(nnx.Module):
    """A U-Net whose blocks a condition modulates; abstract."""

    def __init__(self, feature_dim: int, obs_shape: tuple[int, ...], cfg: UNetConfig, *, rngs: RngsLike) -> None:
        refuse_unet_sizes(type(self).__name__, obs_shape, cfg)
        streams = as_rngs(rngs)
        self.feature_dim = feature_dim
        self.obs_shape = tuple(obs_shape)
        levels = list(pairwise([obs_shape[0], *cfg.channels]))
        deepest = cfg.channels[-1]
        self.mid_modules = self._level(cfg, deepest, deepest, streams)
        self.down_modules = nnx.List(
            self._level(
                cfg,
                a,
                b,
                streams,
                lambda b=b, i=i: self._downsample(cfg, b, streams) if i + 1 < len(levels) else Identity(),
            )
            for i, (a, b) in enumerate(levels)
        )
        self.up_modules = nnx.List(
            self._level(cfg, 2 * b, a, streams, lambda a=a: self._upsample(cfg, a, streams))
            for a, b in reversed(levels[1:])
        )
        self.final_conv = self._final(cfg, cfg.channels[0], obs_shape[0], streams)

    def _level(self, cfg: UNetConfig, in_channels: int, out_channels: int, rngs: nnx.Rngs, *resample: Any) -> nnx.List:
        """Build block, attention, block and what resamples, in torch's order."""
        return nnx.List(
            [
                self._block(cfg, in_channels, out_channels, rngs),
                self._attention(cfg, out_channels, rngs) if cfg.has_attn and cfg.nhead else Identity(),
                self._block(cfg, out_channels, out_channels, rngs),
                *(build() for build in resample),
            ]
        )

    @abstractmethod
    def _block(self, cfg: UNetConfig, in_channels: int, out_channels: int, rngs: nnx.Rngs) -> nnx.Module: ...

    @abstractmethod
    def _attention(self, cfg: UNetConfig, channels: int, rngs: nnx.Rngs) -> nnx.Module: ...

    @abstractmethod
    def _downsample(self, cfg: UNetConfig, channels: int, rngs: nnx.Rngs) -> nnx.Module: ...

    @abstractmethod
    def _upsample(self, cfg: UNetConfig, channels: int, rngs: nnx.Rngs) -> nnx.Module: ...

    @abstractmethod
    def _final(self, cfg: UNetConfig, channels: int, out_channels: int, rngs: nnx.Rngs) -> Sequential: ...

    def __call__(
        self, base: Float[Array, "*batch C *space"], cond: Float[Array, "*batch feature_dim"]
    ) -> Float[Array, "*batch C *space"]:
        axes = len(self.obs_shape)
        assert base.shape[-axes:] == self.obs_shape, (
            f"{type(self).__name__}: expected an input (*, {', '.join(map(str, self.obs_shape))}), "
            f"got shape {base.shape}"
        )
        x = base.reshape(-1, *self.obs_shape)
        cond = cond.reshape(-1, cond.shape[-1])
        skips = []
        for first, attention, second, downsample in self.down_modules:
            x = second(attention(first(x, cond)), cond)
            skips.append(x)
            x = downsample(x)
        first, attention, second = self.mid_modules
        x = second(attention(first(x, cond)), cond)
        for first, attention, second, upsample in self.up_modules:
            x = jnp.concatenate([x, skips.pop()], axis=1)
            x = upsample(second(attention(first(x, cond)), cond))
        return self.final_conv(x).reshape(base.shape)


class ConditionalUnet1d(ConditionalUnet):
    """A U-Net over time whose blocks a condition modulates.

    Args:
        feature_dim: Width of the condition.
        obs_shape: (C, T); T divisible by 2 to the power of the levels less one.
        cfg: The network; with `use_hypernet` the condition makes the blocks' weights.
        rngs: Streams.

    Raises:
        ValueError: The sizes cannot be halved and restored.
        AssertionError: On a call whose input has another shape.

    Example:
        >>> from models.networks import ConvConfig, UNetConfig
        >>> conv_cfg = ConvConfig(activation="SiLU", kernel_size=3, stride=1, padding=1)
        >>> unet = ConditionalUnet1d(7, (3, 8), UNetConfig(channels=(4, 6), conv_cfg=conv_cfg), rngs=0)
        >>> unet(jnp.ones((2, 3, 8)), jnp.ones((2, 7))).shape
        (2, 3, 8)

    References:
        Ronneberger et al., 2015: U-Net. Chi et al., 2023: Diffusion policy.
    """

    def _block(self, cfg: UNetConfig, in_channels: int, out_channels: int, rngs: nnx.Rngs) -> nnx.Module:
        if cfg.use_hypernet:
            return HyperConditionalResidualBlock1d(
                in_channels, out_channels, self.feature_dim, cfg.conv_cfg, cfg.hyper_mlp_cfg, rngs=rngs
            )
        return ConditionalResidualBlock1d(
            in_channels, out_channels, self.feature_dim, cfg.conv_cfg, cfg.cond_pred_scale, rngs=rngs
        )

    def _attention(self, cfg: UNetConfig, channels: int, rngs: nnx.Rngs) -> nnx.Module:
        return Attention1d(channels, cfg.nhead, rngs=rngs)

    def _downsample(self, cfg: UNetConfig, channels: int, rngs: nnx.Rngs) -> nnx.Module:
        return Downsample1d(channels, cfg.use_shuffle, rngs=rngs)

    def _upsample(self, cfg: UNetConfig, channels: int, rngs: nnx.Rngs) -> nnx.Module:
        return Upsample1d(channels, cfg.use_shuffle, rngs=rngs)

    def _final(self, cfg: UNetConfig, channels: int, out_channels: int, rngs: nnx.Rngs) -> Sequential:
        return Sequential(
            [
                ConvNormActivation1d(channels, channels, cfg.conv_cfg, rngs=rngs),
                Conv1d(channels, out_channels, 1, rngs=rngs),
            ]
        )


class ConditionalUnet2d(ConditionalUnet):
    """A U-Net over images whose blocks a condition modulates.

    Args:
        feature_dim: Width of the condition.
        obs_shape: (C, H, W); H and W divisible by 2 to the power of the levels less one.
        cfg: The network; `use_hypernet` has no effect here.
        rngs: Streams.

    Raises:
        ValueError: The sizes cannot be halved and restored.
        AssertionError: On a call whose input has another shape.

    Example:
        >>> from models.networks import ConvConfig, UNetConfig
        >>> conv_cfg = ConvConfig(activation="SiLU", kernel_size=3, stride=1, padding=1)
        >>> unet = ConditionalUnet2d(7, (3, 8, 6), UNetConfig(channels=(4, 6), conv_cfg=conv_cfg), rngs=0)
        >>> unet(jnp.ones((2, 3, 8, 6)), jnp.ones((2, 7))).shape
        (2, 3, 8, 6)

    References:
        Ronneberger et al., 2015: U-Net.
    """

    def _block(self, cfg: UNetConfig, in_channels: int, out_channels: int, rngs: nnx.Rngs) -> nnx.Module:
        return ConditionalResidualBlock2d(
            in_channels,
            out_channels,
            self.feature_dim,
            cfg.conv_cfg,
            cfg.cond_pred_scale,
            rngs=rngs,
        )

    def _attention(self, cfg: UNetConfig, channels: int, rngs: nnx.Rngs) -> nnx.Module:
        return Attention2d(channels, cfg.nhead, rngs=rngs)

    def _downsample(self, cfg: UNetConfig, channels: int, rngs: nnx.Rngs) -> nnx.Module:
        return Downsample2d(channels, cfg.use_shuffle, rngs=rngs)

    def _upsample(self, cfg: UNetConfig, channels: int, rngs: nnx.Rngs) -> nnx.Module:
        return Upsample2d(channels, cfg.use_shuffle, rngs=rngs)

    def _final(self, cfg: UNetConfig, channels: int, out_channels: int, rngs: nnx.Rngs) -> Sequential:
        return Sequential(
            [
                ConvNormActivation(channels, channels, cfg.conv_cfg, rngs=rngs),
                Conv2d(channels, out_channels, 1, rngs=rngs),
            ]
        )
