"""How ports get gradients wrong. No output differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from models.catalogue.gradients.pair import ADVERSARIAL, AT_ZERO, BOOTSTRAP, PENALTY, SHARDS, WAVES
from parity.faults import around, at, family, reading

if TYPE_CHECKING:
    from jax import Array


def _stopped_gate(original: Any, code: Array) -> Array:
    return stop_gradient(original(code))


FAULTS = family(
    "gradients",
    at(
        *(ADVERSARIAL, "", "stop-gradient-extra", "the whole branch is stopped"),
        around("gated", _stopped_gate),
        checks=("param_grad",),
    ),
    at(
        *(ADVERSARIAL, "rounded", "straight-through-lost", "rounded without the gradient of the identity"),
        around("__call__", lambda original, x: jnp.round(4 * x) / 4),
        checks=("param_grad",),
    ),
    at(
        *(ADVERSARIAL, "reversal", "custom-backward-dropped", "the gradient is not turned round"),
        around("__call__", lambda original, x: x),
        checks=("param_grad",),
    ),
    at(
        *(BOOTSTRAP, "", "target-network-live", "the target learns too"),
        around("goal", lambda original, x: original.__self__.target(x)),
        checks=("param_grad",),
        causes=("stop-gradient-missing",),
    ),
    at(
        *(AT_ZERO, "length", "norm-at-zero", "`jnp.linalg.norm`: NaN at zero"),
        around("__call__", lambda original, x: jnp.linalg.norm(x, axis=-1)),
        checks=("input_grad",),
    ),
    at(
        *(AT_ZERO, "power", "pow-zero-exponent", "exponents as an array: NaN at zero"),
        around("__call__", lambda original, x: (x[..., None] ** jnp.arange(3.0)).sum((-1, -2))),
        checks=("input_grad",),
    ),
    at(
        *(WAVES, "", "complex-conjugate", "along JAX's gradient, the conjugate of torch's"),
        around("along", lambda original, slope: slope),
    ),
    at(
        *(PENALTY, "", "second-order-dropped", "the inner gradient is a constant to the outer one"),
        around("slope", lambda original, x: stop_gradient(original(x))),
        checks=("param_grad",),
        causes=("stop-gradient-extra",),
    ),
    at(
        *(AT_ZERO, "product", "prod-via-log", "the exponential of a sum of logarithms"),
        around("__call__", lambda original, x: jnp.exp(jnp.log(jnp.abs(x)).sum(-1)) * jnp.sign(x).prod(-1)),
        checks=("input_grad",),
    ),
    at(
        *(ADVERSARIAL, "judge", "grad-wrt-subset", "one leaf is left out of the differentiation"),
        reading("bias", stop_gradient),
        checks=("param_grad",),
        causes=("stop-gradient-extra",),
    ),
    at(
        *(SHARDS, "", "psum-vs-pmean", "gradients of shards are added up, not averaged"),
        around("gather", lambda original, slope: jax.lax.psum(slope, "shards")),
    ),
    at(
        *(ADVERSARIAL, "cube", "custom-vjp-cotangent", "a wrong backward written by hand"),
        around("slope", lambda original, x: 3 * x),
        checks=("param_grad",),
    ),
)
