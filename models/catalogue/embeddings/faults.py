"""How ports get embeddings wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from models.catalogue.embeddings.pair import BAG, BOUNDED, FREQUENCY, LANGUAGE
from parity.faults import around, at, family, setting

if TYPE_CHECKING:
    from jax import Array


def _padded_rows_too(original: Any, logits: Array) -> Array:
    return jax.nn.log_softmax(logits, -1)[..., : original.__self__.vocabulary]


def _half_ids(original: Any, ids: Array) -> Array:
    return original(ids.astype(jnp.bfloat16).astype(ids.dtype))


def _untied(original: Any, x: Array) -> Array:
    """A copy of the table, which the gradient of the head does not reach."""
    return x @ jax.lax.stop_gradient(original.__self__.tokens.embedding[...]).T


FAULTS = family(
    "embeddings",
    at(
        *(LANGUAGE, "", "embedding-scale", "tokens are not scaled"),
        around("scale", lambda original: 1.0),
    ),
    at(
        *(LANGUAGE, "", "tied-weights-untied", "the head has a copy of the table"),
        around("head", _untied),
        checks=("param_grad",),
    ),
    at(
        *(LANGUAGE, "", "position-offset", "positions start at the first row of their table"),
        setting(offset=0),
    ),
    at(
        *(LANGUAGE, "tokens", "ids-low-precision", "ids pass through bfloat16"),
        around("__call__", _half_ids),
    ),
    at(
        *(LANGUAGE, "log_probabilities", "vocab-padding-softmax", "rows that pad the table join the normaliser"),
        around("__call__", _padded_rows_too),
    ),
    at(
        *(BAG, "bag", "bag-mean-padding", "padding counts in the mean"),
        around("kept", lambda original, ids: jnp.ones_like(ids, bool)),
    ),
    at(
        *(BOUNDED, "tokens", "embedding-max-norm", "rows are not cut"),
        setting(max_norm=jnp.inf),
    ),
    at(
        *(FREQUENCY, "tokens", "embedding-grad-scaling", "frequent tokens learn faster"),
        around("share", lambda original, ids: jnp.where(ids == original.__self__.padding, 0.0, 1.0)),
        checks=("param_grad",),
    ),
)
