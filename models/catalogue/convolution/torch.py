"""Convolutions, padding and pooling, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from models.catalogue.convolution.config import CausalConfig, ConvolutionConfig


class Convolutions(nn.Module):
    """An unpadded, a dilated and a strided convolution, averaged over all positions into a dense layer."""

    def __init__(self, config: ConvolutionConfig) -> None:
        super().__init__()
        self.plain = nn.Conv2d(config.channels, config.width, 3)
        self.dilated = nn.Conv2d(config.width, config.hidden, 3, padding=2, dilation=2, bias=False)
        self.strided = nn.Conv2d(config.hidden, config.width, 3, stride=2, padding=1)
        self.head = nn.Linear(config.width, config.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, outputs)
        x = torch.tanh(self.dilated(torch.tanh(self.plain(x))))
        return self.head(torch.tanh(self.strided(x)).mean((2, 3)))


class Padded(nn.Module):
    """Mirrored borders inside a convolution, then unequal zeros around a second one."""

    def __init__(self, config: ConvolutionConfig) -> None:
        super().__init__()
        self.mirror = nn.Conv2d(config.channels, config.width, 3, padding=1, padding_mode="reflect")
        self.pad = nn.ZeroPad2d((1, 2, 3, 0))  # left, right, top, bottom
        self.conv = nn.Conv2d(config.width, config.hidden, 3)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, hidden, H + 1, W + 1)
        return self.conv(self.pad(torch.tanh(self.mirror(x))))


class Pools(nn.Module):
    """Largest of overlapping windows, means of windows that leave the image, means of uneven bins."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = nn.MaxPool2d(3, stride=2, padding=1)
        self.average = nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True)
        self.adaptive = nn.AdaptiveAvgPool2d((2, 3))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, 2, 3)
        return self.adaptive(torch.tanh(self.average(self.largest(x))))


class WindowMean(nn.Module):
    """Means of windows that do not overlap, then the mean over all positions."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C)
        return torch.tanh(self.pool(x)).mean((2, 3))


class Transposed(nn.Module):
    """Two transposed convolutions, of an odd and an even kernel, and a crop."""

    def __init__(self, config: ConvolutionConfig) -> None:
        super().__init__()
        self.odd = nn.ConvTranspose2d(config.channels, config.width, 3, stride=2, padding=1, output_padding=1)
        self.even = nn.ConvTranspose2d(config.width, config.hidden, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, hidden, 4H - 1, 4W - 1)
        return self.even(torch.tanh(self.odd(x)))[:, :, 1:, 1:]


class Causal(nn.Module):
    """A convolution over time that sees no later step."""

    def __init__(self, config: CausalConfig) -> None:
        super().__init__()
        self.past = config.past
        self.conv = nn.Conv1d(config.channels, config.outputs, config.kernel, dilation=config.dilation)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, T) -> (B, outputs, T)
        return self.conv(F.pad(x, (self.past, 0)))
