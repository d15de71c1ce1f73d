"""Activations by name, torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.sizes import is_glu_like


class _TanhExpFunction(torch.autograd.Function):
    """x·tanh(exp x) with its closed-form gradient, which is NaN once exp x overflows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.tanh(torch.exp(x))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        exp = torch.exp(x)
        tanh = torch.tanh(exp)
        return grad_outputs[0] * (tanh - x * exp * (tanh.square() - 1))


class TanhExp(nn.Module):
    """x·tanh(exp x)."""

    def forward(self, x: Tensor) -> Tensor:
        return _TanhExpFunction.apply(x)


class REReLU(nn.Module):
    """The ReLU's value with the gradient of a smooth function.

    Args:
        reparametarize_fn: Name of that function; its lower-cased form is looked up in `torch.nn.functional`.
    """

    def __init__(self, reparametarize_fn: str = "gelu") -> None:
        super().__init__()
        self.reparametarize_fn = reparametarize_fn

    def forward(self, x: Tensor) -> Tensor:
        smooth = getattr(F, self.reparametarize_fn.lower())(x)
        return F.relu(x).detach() + smooth - smooth.detach()


class SiGLU(nn.Module):
    """Gate by SiLU: with halves a and b along `dim`, a·silu(b).

    Args:
        dim: Axis to halve.
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[self.dim]
        if size % 2:
            raise ValueError(f"a gated activation halves axis {self.dim}, which must be even, got {size}")
        a, b = x.chunk(2, dim=self.dim)
        return a * F.silu(b)


class SwiGLU(SiGLU):
    """Another name of `SiGLU`."""


class CRReLU(nn.Module):
    """relu(x) + lr·x·exp(−x²/2) with a learned `lr`.

    Args:
        lr: Initial value of the parameter, which is created in float32.
    """

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__()
        self.lr = nn.Parameter(torch.tensor(lr, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x) + self.lr * x * torch.exp(-x.square() / 2)


class L2Norm(nn.Module):
    """x / max(‖x‖₂, 1e-12) over the last axis, which in a convolution is the width and not the channel."""

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1)


_EXTRA: dict[str, type[nn.Module]] = {
    "TanhExp": TanhExp,
    "REReLU": REReLU,
    "SiGLU": SiGLU,
    "SwiGLU": SwiGLU,
    "CRReLU": CRReLU,
    "L2Norm": L2Norm,
}


class Activation(nn.Module):
    """An activation by name.

    Args:
        activation: A class of `torch.nn` (case-sensitive), or TanhExp, REReLU, SiGLU, SwiGLU, CRReLU, L2Norm.
        **kwargs: Its arguments; `dim` is dropped unless the name contains "glu".

    Raises:
        NotImplementedError: The name is unknown.
        TypeError: The class needs arguments that are not given.

    Example:
        >>> Activation("ReLU")(torch.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """

    def __init__(self, activation: str, **kwargs: Any) -> None:
        super().__init__()
        if not is_glu_like(activation):
            kwargs.pop("dim", None)
        cls = getattr(nn, activation, None) or _EXTRA.get(activation)
        if cls is None:
            raise NotImplementedError(
                f"Activation: {activation!r} is neither a class of torch.nn nor one of {', '.join(_EXTRA)}; "
                "names are case-sensitive"
            )
        self.activation: nn.Module = cls(**kwargs)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x)
