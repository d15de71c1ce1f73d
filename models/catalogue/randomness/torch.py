"""Dropout, noise and sampling, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class DropPath(nn.Module):
    """Drops a whole branch of single examples of the batch, and scales up the others."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:  # (B, ...), both ways
        if not self.training:
            return x
        keep = x.new_empty((len(x), *(1,) * (x.ndim - 1))).bernoulli_(1 - self.rate)
        return x * keep / (1 - self.rate)


class Noise(nn.Module):
    """Adds normal noise of a given standard deviation while training."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        return x + self.deviation * torch.randn_like(x) if self.training else x


class Dropped(nn.Module):
    """Dropout before and after a dense layer, of whole channels, of whole branches, and noise."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.first = nn.Dropout(0.3)
        self.dense = nn.Linear(width, width)
        self.second = nn.Dropout(0.3)
        self.channels = nn.Dropout2d(0.4)
        self.path = DropPath(0.2)
        self.noise = Noise(0.5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # (B, C, H, width)
        dropped = self.second(torch.tanh(self.dense(self.first(x))))
        return {
            "dropped": dropped,
            "channels": self.channels(x),
            "path": self.path(x),
            "noise": self.noise(x),
        }


class Choice(nn.Module):
    """Draws two different rows per example, by weight."""

    def forward(self, x: Tensor) -> Tensor:  # (B, n, d) -> (B, 2, d)
        chosen = torch.multinomial(x.detach().square().sum(-1) + 0.1, 2)
        return x.gather(1, chosen[:, :, None].expand(-1, -1, x.shape[2]))


class Shuffled(nn.Module):
    """The batch in random order."""

    def forward(self, x: Tensor) -> Tensor:
        return x[torch.randperm(len(x))]
