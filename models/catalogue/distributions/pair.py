"""The distribution family's claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flax import nnx
from hypothesis import strategies as st

from models.catalogue.distributions import nnx as candidates
from models.catalogue.distributions import torch as references
from models.catalogue.inputs import chosen, coarse, normal
from parity import Input, Pair, real


def _positive(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.exp(rng.standard_normal(shape))


def _chances(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.05, 0.95, shape)


def _claim(name: str, reference: Callable[[], Any], candidate: Callable[..., Any], *inputs: Input) -> Pair:
    return Pair(
        name=f"distributions.{name}",
        reference=lambda config: reference(),
        candidates={"nnx": lambda config: candidate()},
        inputs=lambda c: st.just(inputs),
        modes=("eval",),
    )


COUNTS = _claim("counts", references.Counts, candidates.Counts, chosen(5, 3, any=_positive), chosen(5, 3, any=_chances))
NORMAL = _claim("normal", references.Normal, candidates.Normal, real(5, 3))
ACTOR = _claim(
    "actor",
    references.Actor,
    lambda: candidates.Actor(rngs=nnx.Rngs(0)),
    real(5, 3, profiles=("normal", "large")),
    real(5, 3, profiles=("normal",)),
)
SCORE = _claim("score", references.Score, lambda: candidates.Score(rngs=nnx.Rngs(0)), real(5, 3), real(5, 3))
SUPPORT = _claim("support", references.Support, candidates.Support, chosen(5, 3, normal=normal, coarse=coarse))
