"""Residual networks that resample by pixel shuffles, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flax import nnx

from models.networks.attention_nnx import Attention2d
from models.networks.convolution_nnx import ConvNormActivation, ResidualBlock
from models.networks.modules_nnx import RngsLike, Sequential, as_rngs
from models.networks.resnet_layers import inner_layer, input_layer, output_layer, scaled_size

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float

    from models.networks.config import ResNetConfig


def _res_blocks(cfg: ResNetConfig, rngs: nnx.Rngs) -> Sequential:
    blocks: list[nnx.Module] = []
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
                rngs=rngs,
            )
        )
        if cfg.attention is not None:
            blocks.append(Attention2d(cfg.conv_channel, attn_cfg=cfg.attention, rngs=rngs))
    return Sequential(blocks)


class ResNetPixUnshuffle(nnx.Module):
    """Image to a feature map that is smaller by scale_factor^n_scaling.

    Args:
        obs_shape: (C, H, W) of the image.
        cfg: The layers; `out_activation` has no effect.
        rngs: Streams.

    Example:
        >>> import jax.numpy as jnp
        >>> from models.networks import ResNetConfig
        >>> cfg = ResNetConfig(8, 3, 5, "ReLU", "Tanh", n_res_blocks=1, n_scaling=1)
        >>> ResNetPixUnshuffle((3, 4, 6), cfg, rngs=0)(jnp.ones((2, 3, 4, 6))).shape
        (2, 8, 2, 3)
    """

    def __init__(self, obs_shape: tuple[int, int, int], cfg: ResNetConfig, *, rngs: RngsLike) -> None:
        rngs = as_rngs(rngs)
        cc = cfg.conv_channel
        self.obs_shape = obs_shape
        self.last_channel = cc
        self.conved_shape = scaled_size(obs_shape, cfg)
        self.conved_size = cc * self.conved_shape[0] * self.conved_shape[1]
        scaling = inner_layer(cfg, -cfg.scale_factor)
        self.conv1 = ConvNormActivation(obs_shape[0], cc, input_layer(cfg), rngs=rngs)
        self.downsample = Sequential([ConvNormActivation(cc, cc, scaling, rngs=rngs) for _ in range(cfg.n_scaling)])
        self.res_blocks = _res_blocks(cfg, rngs)
        self.conv2 = ConvNormActivation(cc, cc, inner_layer(cfg), rngs=rngs)
        self.conv3 = ConvNormActivation(cc, cc, inner_layer(cfg), rngs=rngs)

    def __call__(self, x: Float[Array, "B C H W"]) -> Float[Array, "B cc H_out W_out"]:
        y = self.downsample(self.conv1(x))
        return self.conv3(y + self.conv2(self.res_blocks(y)))


class ResNetPixShuffle(nnx.Module):
    """Feature map to an image that is larger by scale_factor^n_scaling.

    Args:
        in_shape: (C, H, W) of the feature map.
        obs_shape: (C, H, W) of the image.
        cfg: The layers.
        rngs: Streams.

    Raises:
        AssertionError: The sizes of the two shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from models.networks import ResNetConfig
        >>> cfg = ResNetConfig(8, 3, 5, "ReLU", "Tanh", n_res_blocks=1, n_scaling=1)
        >>> ResNetPixShuffle((5, 2, 3), (3, 4, 6), cfg, rngs=0)(jnp.ones((2, 5, 2, 3))).shape
        (2, 3, 4, 6)
    """

    def __init__(
        self, in_shape: tuple[int, int, int], obs_shape: tuple[int, int, int], cfg: ResNetConfig, *, rngs: RngsLike
    ) -> None:
        rngs = as_rngs(rngs)
        cc = cfg.conv_channel
        size = scaled_size(obs_shape, cfg)
        assert tuple(in_shape[1:]) == size, (
            f"ResNetPixShuffle: expected in_shape (C, {size[0]}, {size[1]}) for obs_shape {tuple(obs_shape)}, "
            f"got {tuple(in_shape)}"
        )
        self.in_shape = in_shape
        self.obs_shape = obs_shape
        scaling = inner_layer(cfg, cfg.scale_factor)
        self.conv1 = ConvNormActivation(in_shape[0], cc, inner_layer(cfg), rngs=rngs)
        self.res_blocks = _res_blocks(cfg, rngs)
        self.conv2 = ConvNormActivation(cc, cc, inner_layer(cfg), rngs=rngs)
        self.upsampling = Sequential([ConvNormActivation(cc, cc, scaling, rngs=rngs) for _ in range(cfg.n_scaling)])
        self.conv3 = ConvNormActivation(cc, obs_shape[0], output_layer(cfg), rngs=rngs)

    def __call__(self, x: Float[Array, "B C H W"]) -> Float[Array, "B C_obs H_obs W_obs"]:
        y = self.conv1(x)
        return self.conv3(self.upsampling(y + self.conv2(self.res_blocks(y))))

    @staticmethod
    def get_input_shape(obs_shape: tuple[int, int, int], cfg: ResNetConfig) -> tuple[int, int, int]:
        """Return the (C, H, W) from which the layers make `obs_shape`."""
        return (cfg.init_channel, *scaled_size(obs_shape, cfg))
