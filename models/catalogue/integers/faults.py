"""How ports get integers wrong."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from models.catalogue.integers.pair import SATURATED, WHOLE
from parity.faults import around, at, family

FAULTS = family(
    "integers",
    at(
        *(WHOLE, "quotient", "floor-vs-trunc-division", "rounds towards zero"),
        around("__call__", lambda original, x, y: lax.div(x, y)),
    ),
    at(
        *(WHOLE, "remainder", "remainder-sign", "has the sign of the dividend"),
        around("__call__", lambda original, x, y: lax.rem(x, y)),
    ),
    at(
        *(WHOLE, "shift", "shift-logical", "the sign is shifted too"),
        around("__call__", lambda original, x, y: lax.shift_right_logical(x.astype(jnp.int32), jnp.int32(1))),
    ),
    at(
        *(SATURATED, "", "float-to-int-cast", "floats beyond a byte saturate"),
        around("cast", lambda original, x: x.astype(jnp.uint8)),
    ),
    at(
        *(WHOLE, "total", "int-sum-width", "the sum of 32-bit integers wraps round"),
        around("__call__", lambda original, x, y: jnp.sum(x.astype(jnp.int32) * 300_000_000, -1, dtype=jnp.int32)),
    ),
    at(
        *(WHOLE, "bytes", "uint8-wrap", "bytes are added as bytes"),
        around("widened", lambda original, x: x),
    ),
)
