"""The indexing family's claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from models.catalogue.indexing import nnx as candidates
from models.catalogue.indexing import torch as references
from models.catalogue.inputs import chosen, integers, scattered
from parity import Input, Pair, mask, real


def _every(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Every segment at least once, in random order."""
    return rng.permutation(np.arange(shape[0]) % 5)


def _claim(name: str, reference: Callable[[], Any], candidate: Callable[[], Any], *inputs: Input) -> Pair:
    return Pair(
        name=f"indexing.{name}",
        reference=lambda config: reference(),
        candidates={"nnx": lambda config: candidate()},
        inputs=lambda c: st.just(inputs),
        modes=("eval",),
    )


SEGMENTS = _claim(
    "segments", references.Segments, candidates.Segments, real(7, 3), chosen(7, every=_every, few=integers(1, 4))
)
MASKS = _claim("masks", references.Masks, candidates.Masks, real(7, 3), mask(7))
ORDERS = _claim("orders", references.Orders, candidates.Orders, real(7, 3), chosen(7, any=scattered(0, 9)))
