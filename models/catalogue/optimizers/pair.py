"""The optimizer family's claims: parameters after every step of the same recorded gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from models.catalogue.inputs import chosen, full, lengths, normal
from models.catalogue.optimizers import nnx as candidates
from models.catalogue.optimizers import schedules_nnx as schedules
from models.catalogue.optimizers import torch as references
from parity import Pair, real


def _spread(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Magnitudes from 1e-7 to 10."""
    return rng.standard_normal(shape) * 10.0 ** rng.uniform(-7, 1, shape)


def _falling(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Losses that fall, stall and rise."""
    return np.exp(np.cumsum(rng.normal(0.0, 0.2, shape)))


def _replay(name: str, reference: Callable[[], Any], candidate: Callable[[], Any]) -> Pair:
    return Pair(
        name=f"optimizers.{name}",
        reference=lambda config: reference(),
        candidates={"nnx": lambda config: candidate()},
        inputs=lambda c: st.just((real(2, 3, profiles=("normal",)), chosen(7, 2, 3, normal=normal, spread=_spread))),
        modes=("eval",),
        checks=("forward",),
    )


MOMENTUM = _replay("momentum", references.Momentum, candidates.Momentum)
ADAPTIVE = _replay("adaptive", references.Adaptive, candidates.Adaptive)
BOOKKEEPING = _replay("bookkeeping", references.Bookkeeping, schedules.Bookkeeping)

SCHEDULES = Pair(
    name="optimizers.schedules",
    reference=lambda config: references.Schedules(),
    candidates={"nnx": lambda config: schedules.Schedules()},
    inputs=lambda c: st.just((chosen(13, losses=_falling),)),
    modes=("eval",),
    checks=("forward",),
)

ACCUMULATION = Pair(
    name="optimizers.accumulation",
    reference=lambda config: references.Accumulation(),
    candidates={"nnx": lambda config: schedules.Accumulation()},
    inputs=lambda c: st.just((real(3, 5), chosen(3, full=full(5), ragged=lengths(5)))),
    modes=("eval",),
)
