"""The loop family's claims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from flax import nnx
from hypothesis import strategies as st

from models.catalogue.inputs import chosen, coarse, extreme, integers, normal, scattered
from models.catalogue.loops import nnx as candidates
from models.catalogue.loops import torch as references
from parity import Input, Pair, real, tokens
from parity.record import Arrays


def _claim(name: str, reference: Callable[[], Any], candidate: Callable[..., Any], *inputs: Input) -> Pair:
    return Pair(
        name=f"loops.{name}",
        reference=lambda config: reference(),
        candidates={"nnx": lambda config: candidate()},
        inputs=lambda c: st.just(inputs),
        modes=("eval",),
    )


def _random(model: Callable[..., Any]) -> Callable[[], Any]:
    return lambda: model(rngs=nnx.Rngs(0))


def _redrawn(state: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Other weights for every example: with the same ones, one sequence of tokens is all that is seen."""
    return {name: rng.standard_normal(np.shape(value)) for name, value in state.items()}


FIXED_POINT = _claim("fixed_point", references.FixedPoint, _random(candidates.FixedPoint), real(4, 3))
HALVING = _claim("halving", references.Halving, candidates.Halving, chosen(4, 3, normal=normal, extreme=extreme))
UPDATES = _claim(
    "updates",
    references.Updates,
    candidates.Updates,
    chosen(5, 3, normal=normal, coarse=coarse),
    chosen(4, normal=integers(0, 5), coarse=scattered(0, 5, every=2)),
)
GREEDY = replace(
    _claim("greedy", references.Greedy, _random(candidates.Greedy), tokens(9, vocabulary=7)), weights=_redrawn
)
FILTER = _claim("filter", references.Filter, candidates.Filter, real(4, 9, profiles=("normal", "large")))
SAMPLER = _claim("sampler", references.Sampler, _random(candidates.Sampler), real(4, 3))
AUXILIARY = _claim("auxiliary", references.Auxiliary, _random(candidates.Auxiliary), real(4, 3))
TWO_CALLS = _claim("two_calls", references.TwoCalls, _random(candidates.TwoCalls), real(4, 3))
