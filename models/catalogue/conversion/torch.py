"""Weights that are stored otherwise than they are used, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

if TYPE_CHECKING:
    from torch import Tensor


class Adapted(nn.Module):
    """A dense layer plus a scaled product of two thin matrices, the second of which starts at zero."""

    def __init__(self, inputs: int, outputs: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = nn.Linear(inputs, outputs)
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=False)
        self.scale = alpha / rank
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.scale * self.up(self.down(x))


class Stored(nn.Module):
    """An adapted layer, a norm with statistics, and a layer stored as direction and length."""

    def __init__(self, inputs: int = 3, hidden: int = 5, outputs: int = 4) -> None:
        super().__init__()
        self.adapted = Adapted(inputs, hidden, rank=2, alpha=3.0)
        self.norm = nn.BatchNorm1d(hidden)
        self.directed = weight_norm(nn.Linear(hidden, outputs))
        self.register_buffer("offset", torch.linspace(1.3, 2.6, outputs))

    def forward(self, x: Tensor) -> Tensor:  # (B, inputs) -> (B, outputs)
        return self.directed(torch.tanh(self.norm(self.adapted(x)))) + self.offset
