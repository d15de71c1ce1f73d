"""Where a model computes in less than its own precision, and how it starts, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


def accurate(x: Tensor) -> Tensor:
    """In float32 at least: half precisions are raised."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Sinusoids(nn.Module):
    """Adds a table of sines and cosines of the position, in the precision of the input."""

    def forward(self, x: Tensor) -> Tensor:  # (B, T, width), both ways
        length, width = x.shape[1:]
        rates = 100.0 ** (-torch.arange(width // 2, dtype=x.dtype) / (width // 2))
        angles = torch.arange(length, dtype=x.dtype)[:, None] * rates
        return x + torch.cat([angles.sin(), angles.cos()], -1)


class Softmax(nn.Module):
    """Over the last axis, in float32 at least."""

    def forward(self, x: Tensor) -> Tensor:
        return accurate(x).softmax(-1).to(x.dtype)


class RootMeanSquare(nn.Module):
    """A norm whose statistics are in float32 at least."""

    def forward(self, x: Tensor) -> Tensor:
        wide = accurate(x)
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


class Mixed(nn.Module):
    """Positions, a dense layer, a norm, another dense layer, and probabilities."""

    def __init__(self, width: int = 6, hidden: int = 5) -> None:
        super().__init__()
        self.positions = Sinusoids()
        self.dense = nn.Linear(width, hidden)
        self.norm = RootMeanSquare()
        self.out = nn.Linear(hidden, width)
        self.softmax = Softmax()

    def forward(self, x: Tensor) -> Tensor:  # (B, T, width), both ways
        return self.softmax(self.out(self.norm(torch.tanh(self.dense(self.positions(x))))))


class Started(nn.Module):
    """Layers of which each starts in its own way; the last starts at zero, as residual branches do."""

    def __init__(self, vocabulary: int = 97, width: int = 64, hidden: int = 48) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.dense = nn.Linear(width, hidden)
        self.rnn = nn.GRU(hidden, hidden, batch_first=True)
        self.last = nn.Linear(hidden, width)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, T, width)
        return self.last(self.rnn(torch.tanh(self.dense(self.tokens(ids))))[0])
