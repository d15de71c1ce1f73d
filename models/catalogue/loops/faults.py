"""How ports get loops, in-place updates and decoding wrong."""

from __future__ import annotations

import jax.numpy as jnp

from models.catalogue.loops.pair import AUXILIARY, FILTER, FIXED_POINT, GREEDY, HALVING, SAMPLER, TWO_CALLS, UPDATES
from parity.faults import around, at, deriving, family

FAULTS = family(
    "loops",
    at(
        *(TWO_CALLS, "", "stale-closure-params", "the second call sees the weights of the first"),
        around("updated", lambda original, kernel: kernel),
        checks=("forward", "loop"),
    ),
    at(
        *(UPDATES, "", "discarded-functional-update", "the result of `.at[].set()` is not used"),
        around("filled", lambda original, x: x),
    ),
    at(
        *(UPDATES, "", "view-aliasing-lost", "a write through a view does not reach its base"),
        around("viewed", lambda original, x: x),
    ),
    at(
        *(UPDATES, "", "duplicate-index-add", "`.at[].add` counts duplicates"),
        around("added", lambda original, x, where: x.at[where].add(1.0)),
    ),
    at(
        *(FIXED_POINT, "", "loop-bound", "one iteration less"),
        deriving(steps=lambda module: module.steps - 1),
    ),
    at(
        *(HALVING, "", "batch-coupled-stop", "all rows go on while any does"),
        around("active", lambda original, above: jnp.broadcast_to(above.any(), above.shape)),
    ),
    at(
        *(GREEDY, "", "eos-handling", "tokens after the end are kept"),
        around("masked", lambda original, ids, done: ids),
    ),
    at(
        *(FILTER, "", "sampling-filter", "the token that crosses the mass is cut"),
        around("outside", lambda original, p: (jnp.cumsum(p, -1) > original.__self__.mass).at[:, 0].set(False)),
    ),
    at(
        *(GREEDY, "", "max-length-semantics", "one token more"),
        deriving(longest=lambda module: module.longest + 1),
    ),
    at(
        *(SAMPLER, "", "diffusion-step-index", "the last step ends at the first alpha, not at one"),
        around("after", lambda original, step, stride: original.__self__.alphas[max(step - stride, 0)]),
    ),
    at(
        *(AUXILIARY, "", "intermediates-consumed", "the penalty is gone when the loss asks for it"),
        around("penalty", lambda original, hidden: 0.0),
        causes=("operand-dropped",),
    ),
)
