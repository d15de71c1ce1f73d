"""Moving positions into channels and back, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flax import nnx

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float


class HorizonShuffle(nnx.Module):
    """Move channels into time: out[c, t·u + i] = in[c·u + i, t].

    Args:
        upscale_factor: u.

    Raises:
        AssertionError: On a call whose channels u does not divide.

    Example:
        >>> import jax.numpy as jnp
        >>> HorizonShuffle(2)(jnp.arange(6.0).reshape(1, 2, 3))
        Array([[[0., 3., 1., 4., 2., 5.]]], dtype=float32)
    """

    def __init__(self, upscale_factor: int = 2) -> None:
        self.upscale_factor = upscale_factor

    def __call__(self, x: Float[Array, "B C*u T"]) -> Float[Array, "B C T*u"]:
        B, C, T = x.shape
        u = self.upscale_factor
        assert C % u == 0, f"HorizonShuffle: channels must be divisible by {u}, got {C}"
        return x.reshape(B, C // u, u, T).swapaxes(2, 3).reshape(B, C // u, T * u)


class HorizonUnShuffle(nnx.Module):
    """Move time into channels: out[c·u + i, t] = in[c, t·u + i]; the inverse of `HorizonShuffle`.

    Args:
        downscale_factor: u.

    Raises:
        AssertionError: On a call whose length u does not divide.

    Example:
        >>> import jax.numpy as jnp
        >>> HorizonUnShuffle(2)(jnp.arange(4.0).reshape(1, 1, 4))
        Array([[[0., 2.],
                [1., 3.]]], dtype=float32)
    """

    def __init__(self, downscale_factor: int = 2) -> None:
        self.downscale_factor = downscale_factor

    def __call__(self, x: Float[Array, "B C T*u"]) -> Float[Array, "B C*u T"]:
        B, C, T = x.shape
        u = self.downscale_factor
        assert T % u == 0, f"HorizonUnShuffle: length must be divisible by {u}, got {T}"
        return x.reshape(B, C, T // u, u).swapaxes(2, 3).reshape(B, C * u, T // u)


class PixelShuffle(nnx.Module):
    """Move channels into pixels: out[c, h·s + i, w·s + j] = in[c·s² + i·s + j, h, w].

    Args:
        upscale_factor: s.

    Raises:
        ValueError: On a call whose channels s² does not divide.
    """

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor

    def __call__(self, x: Float[Array, "*batch C*s**2 H W"]) -> Float[Array, "*batch C H*s W*s"]:
        *batch, C, H, W = x.shape
        s = self.upscale_factor
        if C % s**2:
            raise ValueError(f"PixelShuffle: channels must be divisible by {s**2}, got {C}")
        split = x.reshape(-1, C // s**2, s, s, H, W).transpose(0, 1, 4, 2, 5, 3)
        return split.reshape(*batch, C // s**2, H * s, W * s)


class PixelUnshuffle(nnx.Module):
    """Move pixels into channels: out[c·s² + i·s + j, h, w] = in[c, h·s + i, w·s + j].

    Args:
        downscale_factor: s.

    Raises:
        ValueError: On a call whose height or width s does not divide.
    """

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = downscale_factor

    def __call__(self, x: Float[Array, "*batch C H*s W*s"]) -> Float[Array, "*batch C*s**2 H W"]:
        *batch, C, H, W = x.shape
        s = self.downscale_factor
        if H % s or W % s:
            raise ValueError(f"PixelUnshuffle: height and width must be divisible by {s}, got {H} × {W}")
        split = x.reshape(-1, C, H // s, s, W // s, s).transpose(0, 1, 3, 5, 2, 4)
        return split.reshape(*batch, C * s**2, H // s, W // s)
