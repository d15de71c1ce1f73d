"""Mistakes in normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from models.networks.faults import pairs
from models.networks.faults.placing import put
from parity.faults import around, deriving, family, setting
from parity.faults.generic import GENERIC

if TYPE_CHECKING:
    from collections.abc import Callable

    from jax import Array

_ANY = {fault.id.removeprefix("any-"): fault for fault in GENERIC}


def _rows(statistic: Callable[[Array, Any], Array]) -> Any:
    """A layer norm by another formula: `statistic(rows, norm)` in place of the normalised rows."""

    def call(original: Any, x: Array) -> Array:
        norm = original.__self__
        return statistic(x, norm) * norm.scale[...] + norm.bias[...]

    return around("__call__", call)


def _epsilon_outside(x: Array, norm: Any) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred / (jnp.sqrt(jnp.square(centred).mean(-1, keepdims=True)) + norm.epsilon)


def _unbiased(x: Array, norm: Any) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.var(x, -1, ddof=1, keepdims=True) + norm.epsilon)


def _squares_subtracted(x: Array, norm: Any) -> Array:
    mean = x.mean(-1, keepdims=True)
    variance = jnp.maximum(jnp.square(x).mean(-1, keepdims=True) - mean * mean, 0)
    return (x - mean) * jax.lax.rsqrt(variance + norm.epsilon)


def _mean_kept(x: Array, norm: Any) -> Array:
    return x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + norm.epsilon)


def _without_keepdims(x: Array, norm: Any) -> Array:
    return (x - x.mean(-1)) * jax.lax.rsqrt(jnp.var(x, -1) + norm.epsilon)


def _over_channels(original: Any, x: Array) -> Array:
    """A layer norm of every position."""
    norm = original.__self__
    centred = x - x.mean(1, keepdims=True)
    y = centred * jax.lax.rsqrt(jnp.square(centred).mean(1, keepdims=True) + norm.epsilon)
    return y * norm.scale[...][:, None, None] + norm.bias[...][:, None, None]


def _interleaved(original: Any, x: Array) -> Array:
    """Every second channel in a group, in place of neighbours."""
    order = jnp.arange(x.shape[1]).reshape(original.__self__.num_groups, -1).T.reshape(-1)
    norm, back = original.__self__, jnp.argsort(order)
    grouped = x[:, order].reshape(len(x), norm.num_groups, -1)
    centred = grouped - grouped.mean(2, keepdims=True)
    y = (centred * jax.lax.rsqrt(jnp.square(centred).mean(2, keepdims=True) + norm.epsilon)).reshape(x.shape)[:, back]
    return y * norm.scale[...][:, None, None] + norm.bias[...][:, None, None]


def _biased(original: Any, x: Array) -> tuple[Array, Array]:
    """The running variance moves by the biased one."""
    norm = original.__self__
    before = norm.var[...]
    mean, var = original(x)
    norm.var[...] = (1 - norm.momentum) * before + norm.momentum * jax.lax.stop_gradient(var)
    return mean, var


def _forgetting(original: Any, x: Array) -> tuple[Array, Array]:
    """Running statistics are not written back."""
    norm = original.__self__
    before = [variable[...] for variable in (norm.mean, norm.var, norm.num_batches_tracked)]
    found = original(x)
    norm.mean[...], norm.var[...], norm.num_batches_tracked[...] = before
    return found


def _uncounted(original: Any, x: Array) -> tuple[Array, Array]:
    norm = original.__self__
    before = norm.num_batches_tracked[...]
    found = original(x)
    norm.num_batches_tracked[...] = before
    return found


def _always_the_batch(original: Any, x: Array) -> Array:
    norm = original.__self__
    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    y = (x - mean) * jax.lax.rsqrt(var + norm.epsilon)
    return y * norm.scale[...][:, None, None] + norm.bias[...][:, None, None]


def _statistics_swapped(original: Any, x: Array) -> Array:
    norm = original.__self__
    mean, var = norm.mean[...], norm.var[...]
    norm.mean[...], norm.var[...] = var, mean
    try:
        return original(x)
    finally:
        norm.mean[...], norm.var[...] = mean, var


FAULTS = family(
    "networks: norms",
    put(
        *(pairs.DENSE, "norm", "norm-eps-outside-sqrt", "epsilon is added to the root"),
        _rows(_epsilon_outside),
    ),
    put(*(pairs.DENSE, "norm", "norm-ddof", "divides by the variance over N - 1"), _rows(_unbiased)),
    put(
        *(pairs.FAR, "norm", "one-pass-variance", "squares are subtracted, as is Flax's default"),
        _rows(_squares_subtracted),
    ),
    put(*(pairs.DENSE, "norm", "layernorm-as-rms", "the mean is not subtracted"), _rows(_mean_kept)),
    put(
        *(pairs.DENSE, "norm", "missing-keepdims", "a reduction without keepdims, broadcast along the other axis"),
        _rows(_without_keepdims),
    ),
    put(*(pairs.DENSE, "norm", "norm-epsilon", "Flax's default, 1e-6"), setting(epsilon=1e-6)),
    put(
        *(pairs.DENSE, "norm", "scale-bias-or-stats-swap", "scale and bias exchanged"),
        _ANY["scale-bias-or-stats-swap"].edit,
    ),
    put(
        *(pairs.NORM_FIRST, "", "norm-order", "the norm behind the linear map"),
        setting(norm_first=False),
        causes=("setting-differs",),
    ),
    put(
        *(pairs.ROOT_MEAN_SQUARE, "norm", "rms-eps-default", "Flax's default, 1e-6, for torch's machine epsilon"),
        setting(epsilon=1e-6),
        causes=("norm-epsilon",),
    ),
    put(
        *(pairs.GROUP, "norm", "gn-eps-default", "Flax's default, 1e-6"),
        setting(epsilon=1e-6),
        causes=("norm-epsilon",),
    ),
    put(*(pairs.GROUP, "norm", "norm-groups", "one group in place of two"), setting(num_groups=1)),
    put(
        *(pairs.GROUP, "norm", "group-norm-interleave", "interleaved in place of contiguous groups"),
        around("__call__", _interleaved),
        causes=("group-interleave",),
    ),
    put(
        *(pairs.ONE_GROUP, "norm", "gn1-as-layernorm", "statistics over channels only"),
        around("__call__", _over_channels),
    ),
    put(
        *(pairs.BATCH, "norm", "bn-eps-keras", "an epsilon of 1e-3 in place of 1e-5"),
        setting(epsilon=1e-3),
        causes=("norm-epsilon",),
    ),
    put(
        *(pairs.BATCH, "norm", "bn-eval-uses-batch-stats", "the batch's statistics in evaluation too"),
        around("__call__", _always_the_batch),
    ),
    put(
        *(pairs.BATCH, "norm", "stats-swap", "mean and variance exchanged"),
        around("__call__", _statistics_swapped),
        causes=("scale-bias-or-stats-swap",),
    ),
    put(
        *(pairs.LEARNING, "norm", "bn-momentum-inverted", "Flax's momentum, the weight of the old value"),
        deriving(momentum=lambda norm: 1 - norm.momentum),
        checks=("buffers",),
    ),
    put(
        *(pairs.LEARNING, "norm", "bn-momentum-default", "Flax's default, 0.99: a hundredth of the new value"),
        setting(momentum=0.01),
        checks=("buffers",),
    ),
    put(
        *(pairs.LEARNING, "norm", "bn-running-var-biased", "the running variance is over N"),
        around("_batch_statistics", _biased),
        checks=("buffers",),
    ),
    put(
        *(pairs.LEARNING, "norm", "bn-state-not-written", "running statistics are not written back"),
        around("_batch_statistics", _forgetting),
        checks=("buffers",),
    ),
    put(
        *(pairs.CUMULATIVE, "norm", "bn-momentum-none", "a cumulative average ported as a moving one"),
        setting(momentum=0.1),
        checks=("buffers",),
        causes=("bn-momentum",),
    ),
    put(
        *(pairs.LEARNING, "norm", "bn-batches-uncounted", "the number of batches stays as it is"),
        around("_batch_statistics", _uncounted),
        checks=("buffers",),
        causes=("discarded-functional-update",),
    ),
)
