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
        product, view, whole, short = x * 1.0, x[:2], torch.arange(3) * 2, x.float() * 0.3
        written = x.clone().copy_(x)
    units = (product - x).numpy() / np.spacing(x.abs().numpy())
    assert units.tolist()[:2] == [0.0, 0.0]
    assert np.abs(units[2:]).tolist() == [1.0, 1.0]
    assert torch.equal(view, x[:2])
    assert torch.equal(whole, torch.tensor([0, 2, 4]))
    assert torch.equal(short, x.float() * 0.3)
    assert torch.equal(written, x)
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


@pytest.mark.parametrize(("factor", "verdict", "ok"), [(1.0, "ill-conditioned", True), (1.0001, "bug", False)])
def test_what_cancels_in_the_reference_is_not_laid_to_the_candidate(factor: float, verdict: str, ok: bool) -> None:
    found = result("forward", tried(Cancelling(), Scaled(factor), 1e-9 * inputs(3, 5)))
    assert (found.verdict, found.ok) == (verdict, ok), found
    assert found.max_relative_error > 1e-11
