"""Halving and doubling feature maps, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from models.networks.shuffle_torch import HorizonShuffle, HorizonUnShuffle

if TYPE_CHECKING:
    from jaxtyping import Float


class Downsample1d(nn.Module):
    """Halve the length by a strided convolution, or by moving steps into channels first.

    Args:
        dim: Channels.
        use_shuffle: Move steps into channels.

    Example:
        >>> import torch
        >>> Downsample1d(3)(torch.ones(2, 3, 10)).shape
        torch.Size([2, 3, 5])
    """

    def __init__(self, dim: int, use_shuffle: bool = False) -> None:
        super().__init__()
        if use_shuffle:
            self.conv: nn.Module = nn.Sequential(HorizonUnShuffle(2), nn.Conv1d(2 * dim, dim, 3, padding=1))
        else:
            self.conv = nn.Conv1d(dim, dim, 3, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "B C T"]) -> Float[Tensor, "B C T//2"]:
        return self.conv(x)


class Downsample2d(nn.Module):
    """Halve height and width by a strided convolution, or by moving pixels into channels first.

    Args:
        dim: Channels.
        use_shuffle: Move pixels into channels.

    Example:
        >>> import torch
        >>> Downsample2d(3)(torch.ones(2, 3, 10, 8)).shape
        torch.Size([2, 3, 5, 4])
    """

    def __init__(self, dim: int, use_shuffle: bool = False) -> None:
        super().__init__()
        if use_shuffle:
            self.conv: nn.Module = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * dim, dim, 3, padding=1))
        else:
            self.conv = nn.Conv2d(dim, dim, 3, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H//2 W//2"]:
        return self.conv(x)


class Upsample1d(nn.Module):
    """Double the length by a transposed convolution, or by moving channels into steps.

    Args:
        dim: Channels.
        use_shuffle: Move channels into steps.

    Example:
        >>> import torch
        >>> Upsample1d(3)(torch.ones(2, 3, 5)).shape
        torch.Size([2, 3, 10])
    """

    def __init__(self, dim: int, use_shuffle: bool = False) -> None:
        super().__init__()
        if use_shuffle:
            self.conv: nn.Module = nn.Sequential(nn.Conv1d(dim, 2 * dim, 3, padding=1), HorizonShuffle(2))
        else:
            self.conv = nn.ConvTranspose1d(dim, dim, 4, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "B C T"]) -> Float[Tensor, "B C 2*T"]:
        return self.conv(x)


class Upsample2d(nn.Module):
    """Double height and width by a transposed convolution, or by moving channels into pixels.

    Args:
        dim: Channels.
        use_shuffle: Move channels into pixels.

    Example:
        >>> import torch
        >>> Upsample2d(3)(torch.ones(2, 3, 5, 4)).shape
        torch.Size([2, 3, 10, 8])
    """

    def __init__(self, dim: int, use_shuffle: bool = False) -> None:
        super().__init__()
        if use_shuffle:
            self.conv: nn.Module = nn.Sequential(nn.Conv2d(dim, 4 * dim, 3, padding=1), nn.PixelShuffle(2))
        else:
            self.conv = nn.ConvTranspose2d(dim, dim, 4, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C 2*H 2*W"]:
        return self.conv(x)
