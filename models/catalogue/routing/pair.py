"""The routing family's claims."""

from __future__ import annotations

import numpy as np
from flax import nnx
from hypothesis import strategies as st

from models.catalogue.inputs import chosen, coarse, normal
from models.catalogue.routing import nnx as candidates
from models.catalogue.routing import torch as references
from models.catalogue.routing.config import RoutingConfig
from parity import Pair, mask, real


def _with_nan(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    values = rng.standard_normal(shape)
    values[:, 1] = np.nan
    return values


SELECTION = Pair(
    name="routing.selection",
    reference=lambda config: references.Selection(),
    candidates={"nnx": lambda config: candidates.Selection()},
    inputs=lambda c: st.just((chosen(5, 7, normal=normal, coarse=coarse),)),
    modes=("eval",),
)

RANKING = Pair(
    name="routing.ranking",
    reference=lambda config: references.Ranking(),
    candidates={"nnx": lambda config: candidates.Ranking()},
    inputs=lambda c: st.just((chosen(5, 7, normal=normal, coarse=coarse, nan=_with_nan),)),
    modes=("eval",),
    checks=("forward",),
)

MIXTURE = Pair(
    name="routing.mixture",
    reference=references.Mixture,
    candidates={"nnx": lambda config: candidates.Mixture(config, rngs=nnx.Rngs(0))},
    configs=st.just(RoutingConfig()),
    inputs=lambda c: st.just((real(11, c.width), mask(11))),
    modes=("eval",),
)
