"""Gradients that are not those of the formula, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class _Reverse(torch.autograd.Function):
    """Forward nothing, backward a change of sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -0.3 * gradients[0]


class Reversal(nn.Module):
    """Hands values on and turns gradients round."""

    def forward(self, x: Tensor) -> Tensor:
        return _Reverse.apply(x)


class Rounded(nn.Module):
    """Rounds, with the gradient of the identity."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (torch.round(4 * x) / 4 - x).detach()


class Cube(nn.Module):
    """A cube whose derivative is written by hand in the candidate."""

    def forward(self, x: Tensor) -> Tensor:
        return x.pow(3)


class Adversarial(nn.Module):
    """A dense layer, rounded; a branch behind a gradient reversal; a branch that hands on no gradient."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.encoder = nn.Linear(width, width)
        self.rounded = Rounded()
        self.reversal = Reversal()
        self.cube = Cube()
        self.judge = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (B, width) -> 2 x (B, width)
        code = self.rounded(torch.tanh(self.encoder(x)))
        judged = self.judge(self.cube(self.reversal(code)))
        gated = self.gate(code).sigmoid() * code.detach()
        return judged, gated


class Bootstrap(nn.Module):
    """The distance to what a target network says, which does not learn from it."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.online = nn.Linear(width, width)
        self.target = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (B, width) -> (B,)
        return (self.online(x) - self.target(x).detach()).square().sum(-1)


class Penalty(nn.Module):
    """The squared size of a critic's gradient by its input: a gradient of a gradient."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.critic = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (B, width) -> (B,)
        with torch.enable_grad():
            x = x if x.requires_grad else x.requires_grad_()
            value = torch.tanh(self.critic(x)).sum()
            slope = torch.autograd.grad(value, x, create_graph=True)[0]
        return slope.square().sum(-1)


class Length(nn.Module):
    """The length of a row, with the gradient zero at zero."""

    def forward(self, x: Tensor) -> Tensor:  # (B, n) -> (B,)
        return x.norm(dim=-1)


class Power(nn.Module):
    """x to the powers 0, 1, 2: the first is one and has no gradient, at zero too."""

    def forward(self, x: Tensor) -> Tensor:  # (B, n) -> (B,)
        return (x[..., None] ** torch.arange(3)).sum((-1, -2))


class Product(nn.Module):
    """The product of a row, zeros included."""

    def forward(self, x: Tensor) -> Tensor:  # (B, n) -> (B,)
        return x.prod(-1)


class AtZero(nn.Module):
    """Functions whose gradient at zero is a trap."""

    def __init__(self) -> None:
        super().__init__()
        self.length = Length()
        self.power = Power()
        self.product = Product()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: child(x) for name, child in self.named_children()}


class Shards(nn.Module):
    """One step of gradient descent on a loss over two shards: the mean gradient, not the sum."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, width))

    def forward(self, x: Tensor) -> Tensor:  # (2, B, width) -> (width,)
        slope = (2 * (x @ self.weight)[..., None] * x).mean((0, 1))
        return self.weight - 0.1 * slope


class Waves(nn.Module):
    """One step of gradient descent on complex weights: along torch's gradient, the conjugate of JAX's."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # (n,) real and imaginary parts -> (n, 2)
        with torch.enable_grad():
            weight = torch.complex(x, y).detach().requires_grad_()
            slope = torch.autograd.grad((weight * (1 + 2j)).abs().pow(3).sum() + (weight * 1j).real.sum(), weight)[0]
        return torch.view_as_real(weight.detach() - 0.1 * slope)
