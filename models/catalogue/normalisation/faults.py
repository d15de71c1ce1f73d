"""How ports get normalisation wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import nnx

from models.catalogue.normalisation.nnx import BatchNorm
from models.catalogue.normalisation.pair import (
    BATCH_NORM,
    CUMULATIVE_BATCH_NORM,
    FROZEN_BATCH_NORM,
    GROUP_NORM,
    INSTANCE_NORM,
    LAYER_NORM,
    ONE_GROUP,
    RESPONSE_NORM,
    RMS_NORM,
    ROWS,
    SHARDED_BATCH_NORM,
    UNIT,
)
from parity.faults import around, at, deriving, family, setting

if TYPE_CHECKING:
    from jax import Array


def _epsilon_outside(original: Any, x: Array) -> Array:
    norm = original.__self__
    centred = x - x.mean(norm.axes, keepdims=True)
    deviation = jnp.sqrt(jnp.square(centred).mean(norm.axes, keepdims=True))
    return centred / (deviation + norm.epsilon) * norm.scale[...] + norm.bias[...]


def _unbiased(original: Any, x: Array) -> Array:
    norm = original.__self__
    centred = x - x.mean(norm.axes, keepdims=True)
    variance = jnp.var(x, norm.axes, ddof=1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + norm.epsilon) * norm.scale[...] + norm.bias[...]


def _squares_subtracted(original: Any, x: Array) -> Array:
    norm = original.__self__
    mean = x.mean(norm.axes, keepdims=True)
    variance = jnp.maximum(jnp.square(x).mean(norm.axes, keepdims=True) - mean * mean, 0)
    return (x - mean) * jax.lax.rsqrt(variance + norm.epsilon) * norm.scale[...] + norm.bias[...]


def _over_channels(original: Any, x: Array) -> Array:
    """A layer norm of every position."""
    norm = original.__self__
    centred = x - x.mean(-1, keepdims=True)
    variance = jnp.square(centred).mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + norm.epsilon) * norm.scale[...] + norm.bias[...]


def _moving(norm: Any, mean: Array, variance: Array) -> None:
    BatchNorm.update(norm, mean, variance)


def _inside(original: Any, x: Array) -> Array:
    return x * jax.lax.rsqrt(jnp.sum(x * x, -1, keepdims=True) + 1e-12)


FAULTS = family(
    "normalisation",
    at(
        *(BATCH_NORM, "norm", "bn-momentum-inverted", "torch's momentum, the weight of the new value, kept as it is"),
        setting(momentum=0.1),
        checks=("buffers",),
    ),
    at(
        *(BATCH_NORM, "norm", "bn-momentum-default", "Flax's default, 0.99"),
        setting(momentum=0.99),
        checks=("buffers",),
    ),
    at(
        *(BATCH_NORM, "norm", "bn-running-var-biased", "the running variance is over N"),
        around("unbiased", lambda original, variance, count: variance),
        checks=("buffers",),
    ),
    at(
        *(BATCH_NORM, "norm", "bn-state-not-written", "running statistics are not written back"),
        around("update", lambda original, mean, variance: None),
        checks=("buffers",),
    ),
    at(
        *(BATCH_NORM, "norm", "bn-eval-uses-batch-stats", "the batch's statistics in evaluation too"),
        around("__call__", lambda original, x: nnx.BatchNorm.__call__(original.__self__, x, use_running_average=False)),
    ),
    at(
        *(FROZEN_BATCH_NORM, "norm", "bn-frozen-still-updates", "a frozen norm goes on learning its statistics"),
        around("__call__", lambda original, x: BatchNorm.__call__(original.__self__, x)),
        checks=("buffers",),
    ),
    at(
        *(CUMULATIVE_BATCH_NORM, "norm", "bn-momentum-none", "a cumulative average ported as a moving one"),
        around("update", lambda original, mean, variance: _moving(original.__self__, mean, variance)),
        checks=("buffers",),
    ),
    at(
        *(BATCH_NORM, "norm", "bn-eps-keras", "an epsilon of 1e-3 in place of 1e-5"),
        setting(epsilon=1e-3),
        causes=("norm-epsilon",),
    ),
    at(
        *(SHARDED_BATCH_NORM, "norm", "bn-sync-missing", "every shard normalises with statistics of its own"),
        around("mean_over_shards", lambda original, x: x),
        checks=("forward", "buffers"),
    ),
    at(
        *(GROUP_NORM, "norm", "gn-eps-default", "Flax's default, 1e-6"),
        setting(epsilon=1e-6),
        causes=("norm-epsilon",),
    ),
    at(
        *(RMS_NORM, "norm", "rms-eps-default", "Flax's default, 1e-6, for torch's machine epsilon"),
        around("machine", lambda original, x: 1e-6),
        causes=("norm-epsilon",),
    ),
    at(
        *(LAYER_NORM, "norm", "norm-eps-outside-sqrt", "epsilon is added to the root"),
        around("__call__", _epsilon_outside),
    ),
    at(
        *(LAYER_NORM, "norm", "norm-ddof", "divides by the variance over N - 1"),
        around("__call__", _unbiased),
    ),
    at(
        *(ROWS, "standardise", "std-ddof", "JAX's default, N, for torch's N - 1"),
        setting(ddof=0),
    ),
    at(
        *(LAYER_NORM, "norm", "one-pass-variance", "squares are subtracted, as is Flax's default"),
        around("__call__", _squares_subtracted),
    ),
    at(
        *(ONE_GROUP, "norm", "gn1-as-layernorm", "statistics over channels only"),
        around("__call__", _over_channels),
    ),
    at(
        *(LAYER_NORM, "norm", "ln-normalized-shape", "statistics over the last axis only"),
        setting(axes=(-1,)),
    ),
    at(
        *(INSTANCE_NORM, "norm", "instancenorm-affine", "Flax's default: a scale and a bias that torch has not"),
        deriving(
            scale=lambda norm: nnx.data(nnx.Param(jnp.ones(norm.num_features))),
            bias=lambda norm: nnx.data(nnx.Param(jnp.zeros(norm.num_features))),
        ),
        checks=("carry",),
    ),
    at(
        *(UNIT, "", "l2norm-eps-form", "epsilon inside the root in place of a floor"),
        around("__call__", _inside),
    ),
    at(
        *(RESPONSE_NORM, "norm", "lrn-alpha-per-n", "alpha is not divided by the number of neighbours"),
        deriving(alpha=lambda norm: norm.alpha * norm.size),
        causes=("lrn-parameters",),
    ),
)
