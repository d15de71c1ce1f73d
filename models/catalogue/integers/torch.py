"""Integer division, shifts and casts, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class FloorDivide(nn.Module):
    """Rounds towards minus infinity."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x // y


class Remainder(nn.Module):
    """Has the sign of the divisor."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x % y


class Shift(nn.Module):
    """Keeps the sign."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x.to(torch.int32) >> 1


class Total(nn.Module):
    """The sum of 32-bit integers does not wrap round."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (x.to(torch.int32) * 300_000_000).sum(-1)


class Bytes(nn.Module):
    """The sum of two bytes, beyond a byte."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x.abs().to(torch.uint8).to(torch.int32) * 30 + y.abs().to(torch.uint8) * 30


class Whole(nn.Module):
    """Integers from integers."""

    def __init__(self) -> None:
        super().__init__()
        self.quotient = FloorDivide()
        self.remainder = Remainder()
        self.shift = Shift()
        self.total = Total()
        self.bytes = Bytes()

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:  # 2 x (B, n)
        return {name: child(x, y) for name, child in self.named_children()}


class Saturated(nn.Module):
    """Floats to bytes as torch casts them: through an integer, modulo 256."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * 100).to(torch.int64).to(torch.uint8)
