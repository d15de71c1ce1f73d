"""Fresh weights that are drawn otherwise: what both sides start from is said plainly."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import pytest
import torch
from flax import nnx
from hypothesis import strategies as st
from torch import nn

import parity

START = jax.nn.initializers


class TorchDense(nn.Module):
    def __init__(self, start: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.dense = nn.Linear(37, 41, bias=False)
        start(self.dense.weight.data)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(x)


class Dense(nnx.Module):
    def __init__(self, start: Any) -> None:
        self.dense = nnx.Linear(37, 41, use_bias=False, kernel_init=start, rngs=nnx.Rngs(0))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.dense(x)


def rising(weight: torch.Tensor) -> None:
    weight.copy_(torch.linspace(0, 1, weight.numel()).reshape(weight.shape))


TABLE: dict[str, tuple[Callable[[torch.Tensor], Any], Any, str, str]] = {
    "zero": (
        nn.init.normal_,
        START.zeros,
        "init-linear",
        "reference starts at random, with spread 1, candidate at zero",
    ),
    "ones": (nn.init.normal_, START.ones, "init-linear", "reference starts at random, with spread 1, candidate at 1"),
    "drawn": (
        nn.init.zeros_,
        START.normal(2.0),
        "init-special-skipped",
        "starts at zero, candidate at random, with spread 2",
    ),
    "fixed": (rising, START.zeros, "init-special-skipped", "starts at the same values every time, candidate at zero"),
    "narrow": (
        nn.init.normal_,
        START.normal(0.02),
        "init-linear",
        "spread 1, candidate 0.02: normal of deviation 0.02",
    ),
    "tiny": (nn.init.normal_, START.normal(1e-4), "init-linear", "spread 1, candidate 0.0001: another scheme"),
}


@pytest.mark.parametrize("case", TABLE)
def test_both_starts_are_told(case: str) -> None:
    reference, candidate, cause, told = TABLE[case]
    pair = parity.Pair(
        name="fresh",
        reference=lambda config: TorchDense(reference),
        candidates={"nnx": lambda config: Dense(candidate)},
        inputs=lambda config: st.just((parity.real(3, 37),)),
        checks=("initial",),
    )
    (found,) = parity.check(pair, examples=1).causes
    rounded = re.sub(r"\d\S*\d", lambda n: f"{float(n[0]):.1g}", found.detail)
    assert (found.id, found.where) == (cause, "dense")
    assert rounded.startswith("dense/kernel: reference ")
    assert rounded.endswith(told)
