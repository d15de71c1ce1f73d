"""Moving positions into channels and back, torch; the two-dimensional ones are torch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float


class HorizonShuffle(nn.Module):
    """Move channels into time: out[c, t·u + i] = in[c·u + i, t].

    Args:
        upscale_factor: u.

    Raises:
        AssertionError: On a call whose channels u does not divide.

    Example:
        >>> import torch
        >>> HorizonShuffle(2)(torch.arange(6.0).reshape(1, 2, 3))
        tensor([[[0., 3., 1., 4., 2., 5.]]])
    """

    def __init__(self, upscale_factor: int = 2) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, x: Float[Tensor, "B C*u T"]) -> Float[Tensor, "B C T*u"]:
        B, C, T = x.shape
        u = self.upscale_factor
        assert C % u == 0, f"HorizonShuffle: channels must be divisible by {u}, got {C}"
        return x.reshape(B, C // u, u, T).transpose(2, 3).reshape(B, C // u, T * u)


class HorizonUnShuffle(nn.Module):
    """Move time into channels: out[c·u + i, t] = in[c, t·u + i]; the inverse of `HorizonShuffle`.

    Args:
        downscale_factor: u.

    Raises:
        AssertionError: On a call whose length u does not divide.

    Example:
        >>> import torch
        >>> HorizonUnShuffle(2)(torch.arange(4.0).reshape(1, 1, 4))
        tensor([[[0., 2.],
                 [1., 3.]]])
    """

    def __init__(self, downscale_factor: int = 2) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, x: Float[Tensor, "B C T*u"]) -> Float[Tensor, "B C*u T"]:
        B, C, T = x.shape
        u = self.downscale_factor
        assert T % u == 0, f"HorizonUnShuffle: length must be divisible by {u}, got {T}"
        return x.reshape(B, C, T // u, u).transpose(2, 3).reshape(B, C * u, T // u)
