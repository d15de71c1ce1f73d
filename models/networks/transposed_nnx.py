"""Transposed convolutional layers, Flax NNX; channels first, as in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flax import nnx

from models.networks.activations_nnx import Activation
from models.networks.convolution_nnx import convolution_norm
from models.networks.convolving import transposed_arguments
from models.networks.kernels_nnx import ConvTranspose1d, ConvTranspose2d
from models.networks.modules_nnx import RngsLike, as_rngs, dropout
from models.networks.sizes import is_glu_like

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float

    from models.networks.config import ConvConfig


class ConvTransposeNormActivation(nnx.Module):
    """Transposed convolution, norm, activation and dropout.

    The config's `norm_first`, `padding_mode` and `scale_factor` have no effect.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; doubled before a gated activation.
        cfg: The layer.
        rngs: Streams.

    Example:
        >>> import jax.numpy as jnp
        >>> from models.networks import ConvConfig
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=4, stride=2, padding=1)
        >>> ConvTransposeNormActivation(3, 5, cfg, rngs=0)(jnp.ones((2, 3, 7, 4))).shape
        (2, 5, 14, 8)
    """

    def __init__(self, in_channels: int, out_channels: int, cfg: ConvConfig, *, rngs: RngsLike) -> None:
        rngs = as_rngs(rngs)
        width = 2 * out_channels if is_glu_like(cfg.activation) else out_channels
        self.conv = ConvTranspose2d(in_channels, width, **transposed_arguments(cfg), rngs=rngs)
        self.norm = convolution_norm(cfg, "batch2d", width, width)
        self.activation = Activation(cfg.activation, dim=-3, rngs=rngs)
        self.dropout = dropout(cfg.dropout, rngs)

    def __call__(self, x: Float[Array, "B C H W"]) -> Float[Array, "B C_out H_out W_out"]:
        return self.dropout(self.activation(self.norm(self.conv(x))))


class ConvTransposeNormActivation1d(nnx.Module):
    """Transposed convolution, norm, activation and dropout over time.

    The config's `norm_first`, `padding_mode` and `scale_factor` have no effect.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; doubled before a gated activation.
        cfg: The layer.
        rngs: Streams.

    Example:
        >>> import jax.numpy as jnp
        >>> from models.networks import ConvConfig
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=4, stride=2, padding=1)
        >>> ConvTransposeNormActivation1d(3, 5, cfg, rngs=0)(jnp.ones((2, 3, 7))).shape
        (2, 5, 14)
    """

    def __init__(self, in_channels: int, out_channels: int, cfg: ConvConfig, *, rngs: RngsLike) -> None:
        rngs = as_rngs(rngs)
        width = 2 * out_channels if is_glu_like(cfg.activation) else out_channels
        self.conv = ConvTranspose1d(in_channels, width, **transposed_arguments(cfg), rngs=rngs)
        self.norm = convolution_norm(cfg, "batch1d", width, width)
        self.activation = Activation(cfg.activation, dim=-2, rngs=rngs)
        self.dropout = dropout(cfg.dropout, rngs)

    def __call__(self, x: Float[Array, "B C T"]) -> Float[Array, "B C_out T_out"]:
        return self.dropout(self.activation(self.norm(self.conv(x))))
