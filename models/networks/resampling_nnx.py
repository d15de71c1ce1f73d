"""Halving and doubling feature maps, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flax import nnx

from models.networks.kernels_nnx import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from models.networks.modules_nnx import RngsLike, Sequential, as_rngs
from models.networks.shuffle_nnx import HorizonShuffle, HorizonUnShuffle, PixelShuffle, PixelUnshuffle

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float


class Downsample1d(nnx.Module):
    """Halve the length by a strided convolution, or by moving steps into channels first.

    Args:
        dim: Channels.
        use_shuffle: Move steps into channels.
        rngs: Streams.

    Example:
        >>> import jax.numpy as jnp
        >>> Downsample1d(3, rngs=0)(jnp.ones((2, 3, 10))).shape
        (2, 3, 5)
    """

    def __init__(self, dim: int, use_shuffle: bool = False, *, rngs: RngsLike) -> None:
        rngs = as_rngs(rngs)
        if use_shuffle:
            self.conv = Sequential([HorizonUnShuffle(2), Conv1d(2 * dim, dim, 3, padding=1, rngs=rngs)])
        else:
            self.conv = Conv1d(dim, dim, 3, stride=2, padding=1, rngs=rngs)

    def __call__(self, x: Float[Array, "B C T"]) -> Float[Array, "B C T//2"]:
        return self.conv(x)


class Downsample2d(nnx.Module):
    """Halve height and width by a strided convolution, or by moving pixels into channels first.

    Args:
        dim: Channels.
        use_shuffle: Move pixels into channels.
        rngs: Streams.

    Example:
        >>> import jax.numpy as jnp
        >>> Downsample2d(3, rngs=0)(jnp.ones((2, 3, 10, 8))).shape
        (2, 3, 5, 4)
    """

    def __init__(self, dim: int, use_shuffle: bool = False, *, rngs: RngsLike) -> None:
        rngs = as_rngs(rngs)
        if use_shuffle:
            self.conv = Sequential([PixelUnshuffle(2), Conv2d(4 * dim, dim, 3, padding=1, rngs=rngs)])
        else:
            self.conv = Conv2d(dim, dim, 3, stride=2, padding=1, rngs=rngs)

    def __call__(self, x: Float[Array, "B C H W"]) -> Float[Array, "B C H//2 W//2"]:
        return self.conv(x)


class Upsample1d(nnx.Module):
    """Double the length by a transposed convolution, or by moving channels into steps.

    Args:
        dim: Channels.
        use_shuffle: Move channels into steps.
        rngs: Streams.

    Example:
        >>> import jax.numpy as jnp
        >>> Upsample1d(3, rngs=0)(jnp.ones((2, 3, 5))).shape
        (2, 3, 10)
    """

    def __init__(self, dim: int, use_shuffle: bool = False, *, rngs: RngsLike) -> None:
        rngs = as_rngs(rngs)
        if use_shuffle:
            self.conv = Sequential([Conv1d(dim, 2 * dim, 3, padding=1, rngs=rngs), HorizonShuffle(2)])
        else:
            self.conv = ConvTranspose1d(dim, dim, 4, stride=2, padding=1, rngs=rngs)

    def __call__(self, x: Float[Array, "B C T"]) -> Float[Array, "B C 2*T"]:
        return self.conv(x)


class Upsample2d(nnx.Module):
    """Double height and width by a transposed convolution, or by moving channels into pixels.

    Args:
        dim: Channels.
        use_shuffle: Move channels into pixels.
        rngs: Streams.

    Example:
        >>> import jax.numpy as jnp
        >>> Upsample2d(3, rngs=0)(jnp.ones((2, 3, 5, 4))).shape
        (2, 3, 10, 8)
    """

    def __init__(self, dim: int, use_shuffle: bool = False, *, rngs: RngsLike) -> None:
        rngs = as_rngs(rngs)
        if use_shuffle:
            self.conv = Sequential([Conv2d(dim, 4 * dim, 3, padding=1, rngs=rngs), PixelShuffle(2)])
        else:
            self.conv = ConvTranspose2d(dim, dim, 4, stride=2, padding=1, rngs=rngs)

    def __call__(self, x: Float[Array, "B C H W"]) -> Float[Array, "B C 2*H 2*W"]:
        return self.conv(x)
