"""The integer family's claims."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from models.catalogue.inputs import chosen, integers
from models.catalogue.integers import nnx as candidates
from models.catalogue.integers import torch as references
from parity import Pair, real


def _divisors(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Of either sign, never zero."""
    return rng.integers(1, 6, shape) * rng.choice([-1, 1], shape)


WHOLE = Pair(
    name="integers.whole",
    reference=lambda config: references.Whole(),
    candidates={"nnx": lambda config: candidates.Whole()},
    inputs=lambda c: st.just(
        (
            chosen(4, 5, positive=integers(1, 2), any=integers(-7, 8)),
            chosen(4, 5, positive=integers(1, 4), any=_divisors),
        )
    ),
    modes=("eval",),
    checks=("forward",),
)

SATURATED = Pair(
    name="integers.saturated",
    reference=lambda config: references.Saturated(),
    candidates={"nnx": lambda config: candidates.Saturated()},
    # What C makes of a number beyond every integer is undefined, and so it is in torch.
    inputs=lambda c: st.just((real(4, 5, profiles=("normal", "small", "offset", "wide")),)),
    modes=("eval",),
    checks=("forward",),
)
