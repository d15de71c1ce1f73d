"""Sorting, ties and mixtures of experts, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from models.catalogue.routing.config import RoutingConfig


class Ranking(nn.Module):
    """Places in descending order; equal keys keep their order, NaN counts as largest."""

    def forward(self, x: Tensor) -> Tensor:  # (B, n), both ways
        return x.detach().argsort(dim=-1, descending=True, stable=True)


class Largest(nn.Module):
    """The largest value of every row; among equal ones the first alone has a gradient."""

    def forward(self, x: Tensor) -> Tensor:  # (B, n) -> (B,)
        return x.max(-1).values


class Selection(nn.Module):
    """What is largest, and in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.ranking = Ranking()
        self.largest = Largest()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: child(x) for name, child in self.named_children()}


class Router(nn.Module):
    """Chooses experts by score plus a bias that takes no part in the weights."""

    def __init__(self, config: RoutingConfig) -> None:
        super().__init__()
        self.chosen = config.chosen
        self.gate = nn.Linear(config.width, config.experts, bias=False)
        self.register_buffer("bias", torch.zeros(config.experts))

    def forward(self, x: Tensor) -> Tensor:  # (N, width) -> (N, experts)
        scores = self.gate(x).sigmoid()
        chosen = (scores + self.bias).topk(self.chosen).indices
        kept = torch.zeros_like(scores).scatter(1, chosen, scores.gather(1, chosen))
        return kept / kept.sum(-1, keepdim=True)


class Experts(nn.Module):
    """Every token through the experts that it was sent to; no token is dropped."""

    def __init__(self, config: RoutingConfig) -> None:
        super().__init__()
        self.scale = config.scale
        self.weight = nn.Parameter(torch.randn(config.experts, config.width, config.width))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:  # (N, width), (N, experts) -> (N, width)
        each = torch.tanh(torch.einsum("nd,edf->nef", x, self.weight))
        return self.scale * (weights[:, :, None] * each).sum(1)


class Balance(nn.Module):
    """The routing penalty over tokens that are no padding: share of choices times mean weight, per expert."""

    def forward(self, weights: Tensor, keep: Tensor) -> Tensor:  # (N, experts), (N,) -> ()
        count = keep.sum().clamp(min=1)
        chosen = ((weights > 0) * keep[:, None]).sum(0) / count
        mean = (weights * keep[:, None]).sum(0) / count
        return weights.shape[1] * (chosen * mean).sum()


class Mixture(nn.Module):
    """A router, experts, and the penalty for uneven routing."""

    def __init__(self, config: RoutingConfig) -> None:
        super().__init__()
        self.router = Router(config)
        self.experts = Experts(config)
        self.balance = Balance()

    def forward(self, x: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:  # (N, width), (N,)
        weights = self.router(F.normalize(x, dim=-1))
        return self.experts(x, weights), self.balance(weights, keep)
