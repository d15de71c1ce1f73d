"""Failures are located in models whose weights torch computes from other tensors, too."""

from __future__ import annotations

import jax
import numpy as np
import torch
from flax import nnx
from torch.nn.utils.parametrizations import weight_norm

import parity


class Reference(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = weight_norm(torch.nn.Linear(3, 5))
        self.second = weight_norm(torch.nn.Linear(5, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


class Halved(nnx.Linear):
    """Right outputs, and half the gradient by the kernel."""

    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.kernel[...]
        return x @ (0.5 * kernel + 0.5 * jax.lax.stop_gradient(kernel)) + self.bias[...]


class Candidate(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.first = Halved(3, 5, rngs=rngs)
        self.second = nnx.Linear(5, 2, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.second(nnx.tanh(self.first(x)))


def test_a_wrong_gradient_is_located_behind_weight_normalisation() -> None:
    x = np.random.default_rng(0).normal(size=(7, 3))
    report = parity.compare(Reference(), Candidate(rngs=nnx.Rngs(0)), x, checks=("forward", "param_grad"))
    assert [(result.check, result.ok) for result in report.results] == [("forward", True), ("param_grad", False)]
    assert report.divergence is not None
    assert (report.divergence.reference, report.divergence.candidate) == ("first", "first")
