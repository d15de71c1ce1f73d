"""Reshapes, transposes and channel orders, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from models.catalogue.layout.config import HeadsConfig, ImageConfig, PixelsConfig


class Images(nn.Module):
    """Two convolutions, flattened into two dense layers."""

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        self.conv = nn.Conv2d(config.channels, config.width, 3)
        self.refine = nn.Conv2d(config.width, config.width, 3)
        self.head = nn.Linear(config.flat, config.outputs)
        self.mix = nn.Linear(config.outputs, config.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, outputs)
        x = self.refine(torch.tanh(self.conv(x)))
        return self.mix(torch.tanh(self.head(torch.flatten(x, 1))))


class Heads(nn.Module):
    """Splits a projection into heads, scales each by the scale of its group, and merges them again."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.project = nn.Linear(config.width, config.width)
        self.scale = nn.Parameter(torch.arange(1.0, config.groups + 1.0))

    def forward(self, x: Tensor) -> Tensor:  # (B, T, heads * size), both ways
        batch, length, width = x.shape
        split = self.project(x).view(batch, length, self.heads, -1).transpose(1, 2)  # (B, heads, T, size)
        scale = self.scale.repeat_interleave(self.heads // len(self.scale))
        mixed = torch.tanh(split * scale[:, None, None]).cumsum(2)
        return mixed.transpose(1, 2).reshape(batch, length, width)


class Tile(nn.Module):
    """The pattern of a short parameter, repeated end to end along the features."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.pattern = nn.Parameter(torch.linspace(0.5, 1.5, config.size))

    def forward(self, x: Tensor) -> Tensor:  # (B, T, heads * size), both ways
        return x * self.pattern.repeat(self.heads)


class PixelShuffle(nn.PixelShuffle):
    """Channels to space; a channel's r x r block is contiguous."""


class ChannelShuffle(nn.Module):
    """Splits the channels into contiguous groups and interleaves them."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W), both ways
        batch, channels, height, width = x.shape
        x = x.view(batch, self.groups, channels // self.groups, height, width)
        return x.transpose(1, 2).reshape(batch, channels, height, width)


class Patches(nn.Module):
    """Non-overlapping patches as a sequence; a patch runs over channels, rows, columns."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, H / p * W / p, C * p * p)
        return F.unfold(x, self.patch, stride=self.patch).transpose(1, 2)


class Pixels(nn.Module):
    """Channels to space, channels shuffled, space to a sequence of patches, projected."""

    def __init__(self, config: PixelsConfig) -> None:
        super().__init__()
        self.upscale = PixelShuffle(config.upscale)
        self.shuffle = ChannelShuffle(config.groups)
        self.patches = Patches(config.patch)
        self.project = nn.Linear(config.channels * config.patch**2, config.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (B, C * r * r, H, W) -> (B, patches, outputs)
        return self.project(self.patches(self.shuffle(self.upscale(x))))


class Centre(nn.Module):
    """Subtracts the mean of every row of a square matrix, a hard case: the axes' sizes coincide."""

    def forward(self, x: Tensor) -> Tensor:  # (n, n), both ways
        return x - x.mean(1, keepdim=True)


class Density(nn.Module):
    """Sums over an axis and divides by a constant that is not its size."""

    def __init__(self, volume: float = 4.0) -> None:
        super().__init__()
        self.volume = volume

    def forward(self, x: Tensor) -> Tensor:  # (n, m) -> (n,)
        return x.sum(-1) / self.volume


class Rows(nn.Module):
    """Centred rows of a square matrix, and the density of their squares."""

    def __init__(self) -> None:
        super().__init__()
        self.centre = Centre()
        self.density = Density()

    def forward(self, x: Tensor) -> Tensor:  # (n, n) -> (n,)
        return self.density(self.centre(x).square())
