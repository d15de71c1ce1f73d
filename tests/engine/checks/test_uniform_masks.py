"""Masks made of uniform numbers by torch, and of Bernoulli draws by JAX, are the same masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import pytest
import torch
from flax import nnx
from torch import nn

from tests.engine.checks.ports import result, tried


class Path(nn.Module):
    """Examples are dropped as a whole, by one of the ways to make a mask of uniform numbers."""

    def __init__(self, way: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.way = way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.way(torch.rand(len(x), 1)) / 0.8 if self.training else x


class PathPort(nnx.Module):
    """`Path` by Bernoulli draws: of those that stay, or of those that are dropped."""

    def __init__(self, dropped: bool, rate: float = 0.2) -> None:
        self.rngs, self.dropped, self.rate, self.deterministic = nnx.Rngs(0), dropped, rate, False

    def __call__(self, x: Any) -> Any:
        if self.deterministic:
            return x
        drawn = jax.random.bernoulli(self.rngs(), self.rate if self.dropped else 1 - self.rate, (len(x), 1))
        return x * (~drawn if self.dropped else drawn) / 0.8


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize(
    "way",
    [lambda u: torch.floor(0.8 + u), lambda u: (u + 0.8).floor_(), lambda u: u > 0.2, lambda u: u < 0.8],
    ids=["floor", "floor_", "greater", "less"],
)
def test_a_mask_may_be_made_of_either_end_of_uniform_numbers(
    way: Callable[[torch.Tensor], torch.Tensor], dropped: bool
) -> None:
    trial = tried(Path(way), PathPort(dropped), modes=("train",), carry=None)
    assert result("forward", trial).ok
    assert result("randomness", trial).ok
    assert not result("forward", tried(Path(way), PathPort(dropped, 0.5), modes=("train",), carry=None)).ok
