"""What shows in training alone: averages that a codebook keeps, and masks of whole examples."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
import torch
import torch.nn.functional as F
from flax import nnx
from torch import nn

import parity
from tests.engine.explain.mistake import Mistake, normal, spread


class TorchCodes(nn.Module):
    """Vectors quantised to a codebook, and averages of how often each code is chosen and of what."""

    def __init__(self, form: str) -> None:
        super().__init__()
        for name, start in (("book", torch.randn(7, 5)), ("size", torch.ones(7)), ("total", torch.randn(7, 5))):
            self.register_buffer(name, start)
        self.form = form

    def forward(self, x: Any) -> Any:
        codes = (x[:, None] - self.book).square().sum(-1).argmin(-1)
        chosen = F.one_hot(codes, 7).to(x.dtype)
        for average, now in ((self.size, chosen.sum(0)), (self.total, chosen.T @ x)):
            if self.form == "in place":
                average.mul_(0.99).add_(now, alpha=1 - 0.99)
            elif self.form == "plain":
                average.copy_(0.99 * average + (1 - 0.99) * now)
            else:
                average.lerp_(now, 1 - 0.99)
        return self.book[codes]


class Codes(nnx.Module):
    def __init__(self, decay: float) -> None:
        self.book, self.total = nnx.BatchStat(jnp.zeros((7, 5))), nnx.BatchStat(jnp.zeros((7, 5)))
        self.size = nnx.BatchStat(jnp.zeros(7))
        self.decay = decay

    def __call__(self, x: jax.Array) -> jax.Array:
        codes = jnp.square(x[:, None] - self.book[...]).sum(-1).argmin(-1)
        chosen = jax.nn.one_hot(codes, 7, dtype=x.dtype)
        self.size[...] = self.decay * self.size[...] + (1 - self.decay) * chosen.sum(0)
        self.total[...] = self.decay * self.total[...] + (1 - self.decay) * (chosen.T @ x)
        return self.book[...][codes]


@pytest.mark.parametrize(("form", "decay"), [("in place", 0.01), ("plain", 0.95), ("lerp", 0.9)])
def test_the_decay_of_an_average_is_named(form: str, decay: float) -> None:
    report = parity.compare(spread(TorchCodes(form)), Codes(decay), normal(11, 5), checks=("buffers",), train=True)
    (cause,) = report.causes
    assert cause.id == "ema-decay", report
    assert cause.detail in (
        f"reference decay=0.99, candidate decay={decay}",
        f"reference decay=0.99, candidate behaves as with decay={decay}",
    )


class DropPath(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * (x.new_empty(len(x), 1, 1).bernoulli_(0.6) / 0.6)


@pytest.mark.parametrize(
    ("drawn", "detail"),
    [
        ((4, 5, 3), "draws of their own along axes 1, 2"),
        ((4, 5, 1), "draws of their own along axis 1"),
        ((1, 1, 1), "one draw for all of axis 0"),
    ],
)
def test_what_a_dropped_path_is_dropped_with_is_named(drawn: tuple[int, ...], detail: str) -> None:
    def candidate(x):
        return x * jax.random.bernoulli(jax.random.key(0), 0.6, drawn) / 0.6

    mistake = Mistake("droppath-granularity", DropPath, lambda w: candidate, (normal(4, 5, 3),), train=True)
    report = mistake.report()
    assert [(cause.id, cause.detail) for cause in report.causes[:1]] == [(mistake.cause, detail)], report
