"""How ports get metrics wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from models.catalogue.metrics.nnx import EDGES
from models.catalogue.metrics.pair import OVER_BATCHES, STATISTICS
from parity.faults import around, at, family

if TYPE_CHECKING:
    from jax import Array


def _other_side(original: Any, x: Array) -> Array:
    return jnp.searchsorted(jnp.asarray(EDGES, x.dtype), x, side="right")


def _clipped(original: Any, x: Array) -> Array:
    return jnp.clip(jnp.floor(x + 2), 0, 3)


def _mean_of_batches(original: Any, x: Array, sizes: Array) -> Array:
    counted = jnp.arange(x.shape[1]) < sizes[:, None]
    return ((x * counted).sum(1) / sizes).mean()


def _mean_of_exponentials(original: Any, x: Array, sizes: Array) -> Array:
    counted = jnp.arange(x.shape[1]) < sizes[:, None]
    return jnp.exp((jnp.abs(x) * counted).sum(1) / sizes).mean()


FAULTS = family(
    "metrics",
    at(
        *(STATISTICS, "median", "median-even", "the mean of both middle values"),
        around("__call__", lambda original, x: jnp.median(x, -1)),
    ),
    at(
        *(OVER_BATCHES, "mean", "metric-mean-of-batches", "a short batch counts as much as a full one"),
        around("__call__", _mean_of_batches),
        causes=("masked-mean-of-means",),
    ),
    at(
        *(STATISTICS, "bins", "bucketize-side", "a value on an edge belongs to the bin above"),
        around("__call__", _other_side),
        causes=("ambiguous tie", "semantic boundary"),
    ),
    at(
        *(STATISTICS, "counts", "hist-range", "values outside the range count in the outer bins"),
        around("bin", _clipped),
    ),
    at(
        *(OVER_BATCHES, "perplexity", "perplexity-order", "the mean of exponentials"),
        around("__call__", _mean_of_exponentials),
    ),
)
