"""How ports get sorting and routing wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from models.catalogue.routing.pair import MIXTURE, RANKING, SELECTION
from parity.faults import around, at, deriving, family

if TYPE_CHECKING:
    from jax import Array


def _with_capacity(original: Any, weights: Array) -> Array:
    """Every expert takes three tokens; later ones are dropped."""
    place = jnp.cumsum(weights > 0, 0)
    return jnp.where(place <= 3, weights, 0)


def _biased(original: Any, scores: Array) -> Array:
    return scores + original.__self__.bias[...]


FAULTS = family(
    "routing",
    at(
        *(SELECTION, "ranking", "argsort-descending-flip", "an ascending order turned round: ties change places"),
        around("__call__", lambda original, x: jnp.argsort(x, -1)[:, ::-1]),
        causes=("ambiguous tie",),
    ),
    at(
        *(RANKING, "", "negated-key-sort", "the order of -x, which puts NaN last"),
        around("__call__", lambda original, x: jnp.argsort(-x, -1)),
    ),
    at(
        *(SELECTION, "largest", "max-tie-gradient", "`jnp.max`: equal values share the gradient"),
        around("__call__", lambda original, x: x.max(-1)),
        checks=("input_grad",),
        causes=("semantic boundary",),
    ),
    at(
        *(MIXTURE, "experts", "moe-capacity-drop", "tokens beyond a capacity are dropped"),
        around("dispatched", _with_capacity),
    ),
    at(
        *(MIXTURE, "experts", "moe-scale-twice", "the scale of the experts is applied twice"),
        deriving(scale=lambda experts: experts.scale**2),
        causes=("constant-differs", "constant-factor", "setting-differs"),
    ),
    at(
        *(MIXTURE, "router", "moe-selection-bias-leak", "the bias of the selection weighs the outputs"),
        around("weighed", _biased),
    ),
    at(
        *(MIXTURE, "balance", "balance-loss-padding", "padding counts in the penalty"),
        around("counted", lambda original, keep: jnp.ones_like(keep)),
        causes=("mask-ignored",),
    ),
)
