"""How ports get distributions wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from models.catalogue.distributions.pair import ACTOR, COUNTS, NORMAL, SCORE, SUPPORT
from parity.faults import around, at, family

if TYPE_CHECKING:
    from jax import Array


def _cholesky_of_factor(original: Any) -> Array:
    """The factor taken for a covariance."""
    return jnp.linalg.cholesky(original())


FAULTS = family(
    "distributions",
    at(
        *(COUNTS, "gamma", "gamma-rate-scale", "a scale in place of a rate"),
        around("rate", lambda original, value: 1 / value),
    ),
    at(
        *(COUNTS, "geometric", "geometric-support", "trials in place of failures"),
        around("failures", lambda original, count: count - 1),
    ),
    at(
        *(COUNTS, "negative_binomial", "negbinom-probability", "the probability of the other outcome"),
        around("success", lambda original, p: 1 - p),
    ),
    at(
        *(NORMAL, "", "mvn-tril-vs-cov", "a factor taken for a covariance"),
        around("lower", _cholesky_of_factor),
    ),
    at(
        *(ACTOR, "squashed", "tanh-logdet", "log(1 - tanh² + 1e-6)"),
        around("__call__", lambda original, x: jnp.log(1 - jnp.tanh(x) ** 2 + 1e-6)),
    ),
    at(
        *(ACTOR, "", "log-std-clamp", "another range of the log-deviation"),
        around("clamp", lambda original, x: jnp.clip(x, -20.0, 2.0)),
        causes=("activation-limit-missing", "limit-value"),
    ),
    at(
        *(SCORE, "", "sample-vs-rsample", "the sample carries a gradient"),
        around("sample", lambda original, mean, noise: mean + noise),
        checks=("param_grad",),
        causes=("stop-gradient-missing",),
    ),
    at(
        *(SUPPORT, "", "support-outside", "the density goes on outside the support"),
        around("uniform", lambda original, x: jnp.full_like(x, -jnp.log(2.0))),
    ),
)
