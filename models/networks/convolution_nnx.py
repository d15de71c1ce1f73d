"""Convolutional layers, Flax NNX; channels first, as in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flax import nnx

from models.networks.activations_nnx import Activation
from models.networks.config import ConvConfig, PaddingMode
from models.networks.convolving import convolution_arguments
from models.networks.kernels_nnx import Conv1d, Conv2d
from models.networks.modules_nnx import Identity, RngsLike, Sequential, as_rngs, dropout
from models.networks.norms_nnx import get_norm
from models.networks.shuffle_nnx import HorizonShuffle, HorizonUnShuffle, PixelShuffle, PixelUnshuffle
from models.networks.sizes import is_glu_like, scaled_width

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float


def convolution_norm(cfg: ConvConfig, kind: str, in_width: int, out_width: int) -> nnx.Module:
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


class ConvNormActivation(nnx.Module):
    """Convolution, norm, pixel shuffle, activation and dropout; with `norm_first` the norm comes first.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; doubled before a gated activation.
        cfg: The layer.
        rngs: Streams.

    Example:
        >>> import jax.numpy as jnp
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=3, stride=1, padding=1, scale_factor=2)
        >>> ConvNormActivation(3, 5, cfg, rngs=0)(jnp.ones((2, 3, 7, 4))).shape
        (2, 5, 14, 8)
    """

    def __init__(self, in_channels: int, out_channels: int, cfg: ConvConfig, *, rngs: RngsLike) -> None:
        rngs = as_rngs(rngs)
        self.norm_first = cfg.norm_first
        width = 2 * out_channels if is_glu_like(cfg.activation) else out_channels
        width = scaled_width(width, cfg.scale_factor, axes=2)
        self.conv = Conv2d(in_channels, width, **convolution_arguments(cfg), rngs=rngs)
        self.norm = convolution_norm(cfg, "batch2d", in_channels, width)
        self.shuffle: nnx.Module = Identity()
        if cfg.scale_factor > 0:
            self.shuffle = PixelShuffle(cfg.scale_factor)
        elif cfg.scale_factor < 0:
            self.shuffle = PixelUnshuffle(-cfg.scale_factor)
        self.activation = Activation(cfg.activation, dim=-3, rngs=rngs)
        self.dropout = dropout(cfg.dropout, rngs)

    def __call__(self, x: Float[Array, "B C H W"]) -> Float[Array, "B C_out H_out W_out"]:
        x = self.conv(self.norm(x)) if self.norm_first else self.norm(self.conv(x))
        return self.dropout(self.activation(self.shuffle(x)))


class ConvNormActivation1d(nnx.Module):
    """Convolution, shuffle, norm, activation and dropout over time; with `norm_first` the norm comes first.

    Without `norm_first` the norm sees shuffled channels but is sized for unshuffled ones, so that a scale
    factor and a norm together fail on the call.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; doubled before a gated activation.
        cfg: The layer.
        rngs: Streams.

    Example:
        >>> import jax.numpy as jnp
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=3, stride=1, padding=1, scale_factor=2)
        >>> ConvNormActivation1d(3, 5, cfg, rngs=0)(jnp.ones((2, 3, 7))).shape
        (2, 5, 14)
    """

    def __init__(self, in_channels: int, out_channels: int, cfg: ConvConfig, *, rngs: RngsLike) -> None:
        rngs = as_rngs(rngs)
        self.norm_first = cfg.norm_first
        width = 2 * out_channels if is_glu_like(cfg.activation) else out_channels
        width = scaled_width(width, cfg.scale_factor, axes=1)
        self.conv = Conv1d(in_channels, width, **convolution_arguments(cfg), rngs=rngs)
        self.norm = convolution_norm(cfg, "batch1d", in_channels, width)
        self.shuffle: nnx.Module = Identity()
        if cfg.scale_factor > 0:
            self.shuffle = HorizonShuffle(cfg.scale_factor)
        elif cfg.scale_factor < 0:
            self.shuffle = HorizonUnShuffle(-cfg.scale_factor)
        self.activation = Activation(cfg.activation, dim=-2, rngs=rngs)
        self.dropout = dropout(cfg.dropout, rngs)

    def __call__(self, x: Float[Array, "B C T"]) -> Float[Array, "B C_out T_out"]:
        if self.norm_first:
            x = self.shuffle(self.conv(self.norm(x)))
        else:
            x = self.norm(self.shuffle(self.conv(x)))
        return self.dropout(self.activation(x))


class ResidualBlock(nnx.Module):
    """act(x + second(first(x))) with two convolutions that keep the size.

    A gated activation doubles what the second convolution gives, which one channel alone can be added to.

    Args:
        in_features: Channels.
        kernel_size: Width of the square kernels; odd.
        activation: Activation of the first convolution and of the sum.
        norm: Norm of both convolutions.
        norm_cfg: Its keywords.
        dropout: Rate, in both.
        padding_mode: What the padding holds.
        rngs: Streams.

    Raises:
        ValueError: A gated activation with more than one channel.

    Example:
        >>> import jax.numpy as jnp
        >>> ResidualBlock(3, 3, rngs=0)(jnp.ones((2, 3, 7, 4))).shape
        (2, 3, 7, 4)
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
        *,
        rngs: RngsLike,
    ) -> None:
        rngs = as_rngs(rngs)
        width = 2 * in_features if is_glu_like(activation) else in_features
        if in_features not in (1, width):
            raise ValueError(f"ResidualBlock: {activation} makes {width} channels, which do not add to {in_features}")
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
        self.conv_block = Sequential(
            [
                ConvNormActivation(in_features, in_features, cfgs[0], rngs=rngs),
                ConvNormActivation(in_features, width, cfgs[1], rngs=rngs),
            ]
        )
        self.activation = Activation(activation, dim=-3, rngs=rngs)

    def __call__(self, x: Float[Array, "B C H W"]) -> Float[Array, "B C H W"]:
        y = self.conv_block(x)
        if y.shape[-2:] != x.shape[-2:]:
            raise ValueError(f"ResidualBlock: the kernel must be odd to keep the size, got {x.shape} and {y.shape}")
        return self.activation(x + y)
