"""How ports get indexing wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from models.catalogue.indexing.pair import MASKS, ORDERS, SEGMENTS
from parity.faults import around, at, family

if TYPE_CHECKING:
    from jax import Array


def _in_order_of_appearance(original: Any, ids: Array) -> tuple[Array, Array, Array]:
    found, inverse, counts = original(ids)
    return found[::-1], len(ids) - 1 - inverse, counts[::-1]


def _short_count(original: Any, x: Array, ids: Array) -> Array:
    """One segment too few; its place stays empty."""
    found = original(x, ids)
    return found.at[-1].set(0)


FAULTS = family(
    "indexing",
    at(
        *(SEGMENTS, "largest", "segment-empty", "an empty segment gives minus infinity"),
        around("filled", lambda original, largest, counts: largest),
    ),
    at(
        *(SEGMENTS, "total", "segment-count", "one segment too few"),
        around("__call__", _short_count),
    ),
    at(
        *(MASKS, "hits", "nonzero-static-size", "what fills up the list of hits hits the first row"),
        around("filler", lambda original, x: 0),
    ),
    at(
        *(MASKS, "blank", "where-branches-swapped", "the branches of a choice exchanged"),
        around("__call__", lambda original, x, chosen: jnp.where(chosen[:, None], x, -3.0)),
    ),
    at(
        *(MASKS, "roll", "roll-direction", "rolled the other way"),
        around("__call__", lambda original, x, chosen: jnp.roll(x, -1, 0)),
    ),
    at(
        *(MASKS, "cumulative", "cumsum-kind", "sums up to, but not with, every row"),
        around("__call__", lambda original, x, chosen: jnp.cumsum(x, 0) - x),
    ),
    at(
        *(ORDERS, "unique", "unique-order", "distinct ids in another order"),
        around("distinct", _in_order_of_appearance),
    ),
    at(
        *(ORDERS, "reordered", "inverse-permutation", "put back by the order in place of its inverse"),
        around("back", lambda original, order: order),
    ),
)
