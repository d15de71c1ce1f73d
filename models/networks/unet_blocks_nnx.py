"""Residual blocks that a condition modulates, Flax NNX."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from flax import nnx

from models.networks.config import ConvConfig
from models.networks.convolution_nnx import ConvNormActivation, ConvNormActivation1d
from models.networks.kernels_nnx import Conv1d, Conv2d, Linear
from models.networks.modules_nnx import Identity, RngsLike, Sequential, as_rngs

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float


class ConditionalResidualBlock(nnx.Module):
    """Two convolutions around a shift (and scale) of the channels that the condition predicts; abstract."""

    axes: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_dim: int,
        conv_cfg: ConvConfig,
        cond_predict_scale: bool = False,
        *,
        rngs: RngsLike,
    ) -> None:
        rngs = as_rngs(rngs)
        self.out_channels = out_channels
        self.cond_predict_scale = cond_predict_scale
        self.first_conv = self._layer(in_channels, out_channels, conv_cfg, rngs)
        self.last_conv = self._layer(out_channels, out_channels, conv_cfg, rngs)
        width = 2 * out_channels if cond_predict_scale else out_channels
        self.cond_encoder: Any = Sequential([Linear(cond_dim, width, rngs=rngs)])
        same = in_channels == out_channels
        self.residual_conv = Identity() if same else self._pointwise(in_channels, out_channels, rngs)

    @abstractmethod
    def _layer(self, in_channels: int, out_channels: int, cfg: ConvConfig, rngs: nnx.Rngs) -> Any: ...

    @abstractmethod
    def _pointwise(self, in_channels: int, out_channels: int, rngs: nnx.Rngs) -> nnx.Module: ...

    def __call__(
        self, x: Float[Array, "B C *space"], cond: Float[Array, "B cond_dim"]
    ) -> Float[Array, "B C_out *space"]:
        shift = self.cond_encoder(cond).reshape(len(cond), -1, self.out_channels, *(1,) * self.axes)
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
        rngs: Streams.

    Example:
        >>> import jax.numpy as jnp
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=3, stride=1, padding=1)
        >>> block = ConditionalResidualBlock1d(3, 5, 7, cfg, rngs=0)
        >>> block(jnp.ones((2, 3, 11)), jnp.ones((2, 7))).shape
        (2, 5, 11)

    References:
        Perez et al., 2018: FiLM: Visual reasoning with a general conditioning layer.
    """

    axes = 1

    def _layer(self, in_channels: int, out_channels: int, cfg: ConvConfig, rngs: nnx.Rngs) -> Any:
        return ConvNormActivation1d(in_channels, out_channels, cfg, rngs=rngs)

    def _pointwise(self, in_channels: int, out_channels: int, rngs: nnx.Rngs) -> nnx.Module:
        return Conv1d(in_channels, out_channels, 1, rngs=rngs)


class ConditionalResidualBlock2d(ConditionalResidualBlock):
    """Two convolutions of images around a shift (and scale) of the channels that the condition predicts.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        cond_dim: Width of the condition.
        conv_cfg: Both convolutions; they have to keep the size.
        cond_predict_scale: Scale the channels too.
        rngs: Streams.

    Example:
        >>> import jax.numpy as jnp
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=3, stride=1, padding=1)
        >>> block = ConditionalResidualBlock2d(3, 5, 7, cfg, rngs=0)
        >>> block(jnp.ones((2, 3, 4, 6)), jnp.ones((2, 7))).shape
        (2, 5, 4, 6)

    References:
        Perez et al., 2018: FiLM: Visual reasoning with a general conditioning layer.
    """

    axes = 2

    def _layer(self, in_channels: int, out_channels: int, cfg: ConvConfig, rngs: nnx.Rngs) -> Any:
        return ConvNormActivation(in_channels, out_channels, cfg, rngs=rngs)

    def _pointwise(self, in_channels: int, out_channels: int, rngs: nnx.Rngs) -> nnx.Module:
        return Conv2d(in_channels, out_channels, 1, rngs=rngs)
