"""How ports get activations wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from models.catalogue.activations.pair import GATED, KINKED, LOG1P, SMOOTH, STABLE
from parity.faults import around, at, family, setting

if TYPE_CHECKING:
    from jax import Array


def _exponentials(original: Any, x: Array) -> Array:
    exponentials = jnp.exp(x)
    return exponentials / exponentials.sum(-1, keepdims=True)


def _swapped(original: Any, x: Array) -> Array:
    value, gate = jnp.split(x, 2, -1)
    return jax.nn.sigmoid(value) * gate


def _unlimited(original: Any, x: Array) -> Array:
    gate, value = jnp.split(x, 2, -1)
    return jax.nn.silu(gate) * (value + 1)


def _over_positions(original: Any, x: Array) -> Array:
    """The slopes along the last axis, as far as they go."""
    weight = original.__self__.weight[...]
    return jnp.where(x >= 0, x, weight[: x.shape[-1]] * x)


FAULTS = family(
    "activations",
    at(
        *(SMOOTH, "gelu", "gelu-tanh-default", "the form with tanh, Flax's default"),
        setting(approximate=True),
    ),
    at(
        *(SMOOTH, "quick_gelu", "quickgelu-swap", "the exact form in place of x sigmoid(1.702 x)"),
        around("__call__", lambda original, x: jax.nn.gelu(x, approximate=False)),
    ),
    at(
        *(GATED, "swiglu", "activation-limit-missing", "gate and value are not limited"),
        around("__call__", _unlimited),
    ),
    at(
        *(SMOOTH, "hardsigmoid", "hardsigmoid-keras", "0.2 x + 0.5 in place of x / 6 + 0.5"),
        around("__call__", lambda original, x: jnp.clip(0.2 * x + 0.5, 0, 1)),
    ),
    at(
        *(SMOOTH, "softplus", "softplus-beta-dropped", "beta is ignored"),
        setting(beta=1.0),
    ),
    at(
        *(SMOOTH, "elu", "elu-alpha-dropped", "alpha is ignored"),
        setting(alpha=1.0),
    ),
    at(
        *(GATED, "prelu", "prelu-channel-axis", "slopes along the wrong axis"),
        around("__call__", _over_positions),
    ),
    at(
        *(GATED, "glu", "glu-halves-swapped", "the sigmoid of the first half times the second"),
        around("__call__", _swapped),
    ),
    at(
        *(KINKED, "relu", "relu-subgradient", "`jnp.maximum`: a half at zero"),
        around("__call__", lambda original, x: jnp.maximum(x, 0)),
        checks=("input_grad",),
        causes=("semantic boundary",),
    ),
    at(
        *(STABLE, "logsigmoid", "logsigmoid-naive", "log(sigmoid(x)), which underflows"),
        around("__call__", lambda original, x: jnp.log(jax.nn.sigmoid(x))),
    ),
    at(
        *(STABLE, "softmax", "softmax-unshifted", "the largest logit is not subtracted"),
        around("__call__", _exponentials),
    ),
    at(
        *(STABLE, "log_softmax", "logsoftmax-naive", "log(softmax(x)), which underflows"),
        around("__call__", lambda original, x: jnp.log(jax.nn.softmax(x, -1))),
    ),
    at(
        *(LOG1P, "", "log1p-lost", "log(1 + x) for tiny x"),
        around("__call__", lambda original, x: jnp.log(1 + jnp.exp(-jnp.abs(x)))),
    ),
)
