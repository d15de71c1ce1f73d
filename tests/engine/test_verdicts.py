"""What an error beyond its bound is: roundings on the way are told from a mistake."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

from parity.backends.torch_roundings import Roundings
from tests.engine.checks.ports import inputs, result, tried


def test_roundings_move_inexact_results_by_one_unit_and_nothing_else() -> None:
    x = torch.tensor([0.5, 3.0, 0.1, -0.7], dtype=torch.float64)
    before = torch.random.get_rng_state()
    with Roundings(0):
        product, view, whole, short = x * 3, x[:2], torch.arange(3) * 2, x.float() * 0.3
        written, chosen = x.clone().copy_(x), product.topk(3).values
    units = (product - x * 3).numpy() / np.spacing((x * 3).abs().numpy())
    assert units.tolist()[:2] == [0.0, 0.0]
    assert np.abs(units[2:]).tolist() == [1.0, 1.0]
    assert torch.equal(view, x[:2])
    assert torch.equal(whole, torch.tensor([0, 2, 4]))
    assert torch.equal(short, x.float() * 0.3)
    assert torch.equal(written, x)
    assert torch.equal(chosen, torch.stack([product[1], product[0], product[2]]))
    assert torch.equal(torch.random.get_rng_state(), before)


class Cancelling(nn.Module):
    """`x`, through a sum beside which it is small."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (1 + x) - 1


class Scaled(nnx.Module):
    """`x` times a factor that ought to be one."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.factor * x


class Largest(nn.Module):
    """What is among the two largest of a row after a product that rounds; the rest is zero."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = 1.1 * x
        return torch.where(y >= y.topk(2).values[..., -1:], y, 0.0)


class LargestScaled(Scaled):
    """The same, times a factor that ought to be one."""

    def __call__(self, x: jax.Array) -> jax.Array:
        y = 1.1 * x
        return self.factor * jax.numpy.where(y >= jax.lax.top_k(y, 2)[0][..., -1:], y, 0.0)


@pytest.mark.parametrize(("factor", "verdict", "ok"), [(1.0, "ill-conditioned", True), (1.0001, "bug", False)])
def test_what_cancels_in_the_reference_is_not_laid_to_the_candidate(factor: float, verdict: str, ok: bool) -> None:
    found = result("forward", tried(Cancelling(), Scaled(factor), 1e-9 * inputs(3, 5)))
    assert (found.verdict, found.ok) == (verdict, ok), found
    assert found.max_relative_error > 1e-11


def test_a_choice_that_no_rounding_turns_over_excuses_nothing() -> None:
    found = result("forward", tried(Largest(), LargestScaled(1.3), inputs(3, 7)))
    assert (found.verdict, found.ok) == ("bug", False), found
