"""How ports get randomness wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from models.catalogue.randomness.pair import CHOICE, DROPPED
from parity.faults import around, at, deriving, family, setting

if TYPE_CHECKING:
    from jax import Array


def unscaled(original: Any, x: Array, **options: Any) -> Array:
    """What is kept, not scaled up."""
    drop = original.__self__
    found = original(x, **options)
    return found if drop.deterministic else found * (1 - drop.rate)


def same_key(original: Any, x: Array) -> Array:
    """Draws with a key that was fixed when the model was built."""
    drop = original.__self__
    if drop.deterministic:
        return x
    keep = jax.random.bernoulli(jax.random.key(0), 1 - drop.rate, x.shape)
    return jnp.where(keep, x / (1 - drop.rate), 0)


def _with_replacement(original: Any, weights: Array) -> Array:
    key = original.__self__.rngs()
    return jax.random.categorical(key, jnp.log(weights)[:, None], shape=(len(weights), 2))


def _one_stream(model: Any) -> Any:
    """The second layer starts with the first one's key."""
    before = model.second.rngs.key.get_value()
    model.second.rngs.key.set_value(model.first.rngs.key.get_value())
    return lambda: model.second.rngs.key.set_value(before)


FAULTS = family(
    "randomness",
    at(
        *(DROPPED, "first", "dropout-keep-vs-drop", "the rate read as the probability to keep"),
        deriving(rate=lambda drop: 1 - drop.rate),
    ),
    at(
        *(DROPPED, "second", "dropout-no-rescale", "what is kept is not scaled up"),
        around("__call__", unscaled),
    ),
    at(
        *(DROPPED, "", "dropout-key-reuse", "one key for both layers"),
        _one_stream,
        checks=("randomness", "forward"),
    ),
    at(
        *(DROPPED, "first", "dropout-key-frozen", "a key that is a constant: the same mask at each step"),
        around("__call__", same_key),
        checks=("randomness", "forward"),
    ),
    at(
        *(DROPPED, "channels", "dropout-spatial", "single values are dropped in place of channels"),
        setting(broadcast_dims=()),
    ),
    at(
        *(DROPPED, "path", "droppath-granularity", "one draw for the whole batch"),
        around("shape", lambda original, x: (1,) * x.ndim),
    ),
    at(
        *(CHOICE, "", "sample-with-replacement", "drawn with replacement"),
        around("draw", _with_replacement),
    ),
    at(
        *(DROPPED, "noise", "noise-std-vs-variance", "the deviation read as a variance"),
        around("scale", lambda original: original() ** 0.5),
        causes=("constant-differs",),
    ),
)
