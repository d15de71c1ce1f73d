"""Draws of both sides find each other, and their numbers are the same."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from parity import Pair, check, real
from parity.noise import Draw, Request, assigned


@pytest.mark.parametrize(
    ("asked", "made", "sources"),
    [
        ([(1, 4), (3, 4)], [(3, 4), (3, 4)], [0, 1]),
        ([(3, 4), (1, 4)], [(3, 4), (3, 4)], [0, 1]),
        ([(12,), (3, 4), (3, 4)], [(3, 4), (3, 4)], [None, 0, 1]),
        ([(5, 2), (3, 4)], [(3, 4), (5, 2)], [1, 0]),
        ([(3, 4)], [(3, 4), (3, 4)], [0]),
        ([(2, 2)], [], [None]),
    ],
    ids=["one mask for the batch", "and behind", "thrown away before", "exchanged", "one is missing", "no draws"],
)
def test_draws_find_each_other_in_order(
    asked: list[tuple[int, ...]], made: list[tuple[int, ...]], sources: list[int | None]
) -> None:
    requests = [Request(Draw("bernoulli", shape, 0.8), None) for shape in asked]
    assert [r.source for r in assigned(requests, [Draw("bernoulli", shape, 0.8) for shape in made])] == sources


LOGITS = jnp.asarray([[0.3, -1.0, 0.7, 0.1, 0.4]])


@pytest.mark.parametrize(
    ("shape", "replace", "reference"),
    [
        (None, True, lambda p: torch.multinomial(p[:1], 1)[:, 0]),
        ((3,), True, lambda p: torch.multinomial(p, 1)[:, 0]),
        ((2, 1), False, lambda p: torch.multinomial(p[:1], 2).T),
    ],
    ids=["one", "several of the same logits", "without replacement"],
)
def test_samples_are_the_same_whatever_their_shape(
    shape: tuple[int, ...] | None, replace: bool, reference: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    class Sampling(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            chances = torch.tensor(LOGITS.tolist(), dtype=x.dtype).softmax(-1)
            return reference(chances.expand(3, -1))

    def sampling(x: jax.Array) -> jax.Array:
        return jax.random.categorical(jax.random.key(0), LOGITS.astype(x.dtype), shape=shape, replace=replace)

    drawn = {jnp.shape(sampling(jnp.ones(2)))}
    pair = Pair(
        name="sampling",
        reference=lambda config: Sampling(),
        candidates={"jax": lambda config: sampling},
        inputs=lambda config: st.just((real(2, 2),)),
        modes=("eval",),
        checks=("forward", "randomness"),
    )
    report = check(pair, examples=12)
    assert report.ok, report
    assert drawn == {tuple(reference(torch.ones(3, 5)).shape)}
