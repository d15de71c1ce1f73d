"""Activation functions and their parameters, torch. Every model hands one input to several functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class HardSigmoid(nn.Module):
    """relu6(x + 3) / 6; torch's own layer has a float32 constant in its derivative, which float64 shows."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x + 3) / 6


class SoftCap(nn.Module):
    """Bends values smoothly so that they stay within a limit."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        return self.limit * torch.tanh(x / self.limit)


class Smooth(nn.Module):
    """Activations that are smooth but for kinks that random numbers do not meet."""

    def __init__(self) -> None:
        super().__init__()
        self.gelu = nn.GELU()
        self.quick_gelu = QuickGELU()
        self.hardsigmoid = HardSigmoid()
        self.softplus = nn.Softplus(beta=2.5)
        self.elu = nn.ELU(alpha=0.6)
        self.cap = SoftCap(5.0)

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # (B, n), each output too
        return {name: child(x) for name, child in self.named_children()}


class Log1p(nn.Module):
    """log(1 + exp(-|x|)) through log1p, exact for large x."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.log1p(torch.exp(-x.abs()))


class Stable(nn.Module):
    """Functions that a naive formula gets wrong for large or tiny arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.logsigmoid = nn.LogSigmoid()
        self.softmax = nn.Softmax(-1)
        self.log_softmax = nn.LogSoftmax(-1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # (B, n), each output too
        return {name: child(x) for name, child in self.named_children()}


class Rectifier(nn.Module):
    """max(x, 0); its derivative at zero is zero."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


class Clamp(nn.Module):
    """Limits values from below; the derivative at the limit is one."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=0)


class Kinked(nn.Module):
    """Activations whose derivative at zero is a convention."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = Rectifier()
        self.clamp = Clamp()

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # (B, n), each output too
        return {name: child(x) for name, child in self.named_children()}


class SwiGLU(nn.Module):
    """A gate and a value, each limited before they are multiplied."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:  # (..., 2n) -> (..., n)
        gate, value = x.chunk(2, -1)
        gate = gate.clamp(max=self.limit)
        return F.silu(gate) * (value.clamp(-self.limit, self.limit) + 1)


class Gated(nn.Module):
    """A dense layer into gated activations, and a slope per channel on the way."""

    def __init__(self, width: int = 5, hidden: int = 6) -> None:
        super().__init__()
        self.prelu = nn.PReLU(width)
        self.project = nn.Linear(width, hidden)
        self.glu = nn.GLU(-1)
        self.swiglu = SwiGLU(1.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (B, width, n) -> 2 x (B, n, hidden / 2)
        x = self.project(self.prelu(x).transpose(1, 2))
        return self.glu(x), self.swiglu(x)
