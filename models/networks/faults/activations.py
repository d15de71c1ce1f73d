"""Mistakes in activations and softmaxes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from models.networks.faults import pairs
from models.networks.faults.placing import computing, put
from parity.faults import around, deriving, family, setting

if TYPE_CHECKING:
    from jax import Array

_WHERE = "activation"


def _gate_first(x: Array) -> Array:
    value, gate = jnp.split(x, 2, -3)
    return jax.nn.sigmoid(value) * gate


def _every_second(x: Array) -> Array:
    return x[:, ::2] * jax.nn.sigmoid(x[:, 1::2])


def _over_width(original: Any, x: Array) -> Array:
    """The slopes along the last axis, as far as they go."""
    weight = original.__self__.weight[...]
    return jnp.where(x > 0, x, weight[: x.shape[-1]] * x)


def _exponentials(x: Array) -> Array:
    exponentials = jnp.exp(x)
    return exponentials / exponentials.sum(-3, keepdims=True)


def _root_of_sum(x: Array) -> Array:
    return x * jax.lax.rsqrt(jnp.sum(x * x, -1, keepdims=True) + 1e-12)


FAULTS = family(
    "networks: activations",
    put(
        *(pairs.DENSE, "activation/activation", "gelu-tanh-default", "the form with tanh, JAX's default"),
        deriving(function=lambda module: partial(module.function, approximate="tanh")),
    ),
    put(
        *(pairs.DENSE, "activation/activation", "quickgelu-swap", "x sigmoid(1.702 x) in place of the exact form"),
        computing(lambda x: x * jax.nn.sigmoid(1.702 * x)),
    ),
    put(
        *(pairs.DENSE, "activation/activation", "activation-swapped", "SiLU in place of GELU"),
        computing(jax.nn.silu),
    ),
    put(
        *(pairs.DENSE, "", "activation-missing", "the activation is left out"),
        around("__call__", lambda original, x: original.__self__.norm(original.__self__.linear(x))),
    ),
    put(
        *(pairs.GATED, _WHERE, "glu-halves-swapped", "the sigmoid of the first half times the second"),
        computing(_gate_first),
    ),
    put(
        *(pairs.GATED, _WHERE, "glu-halves-interleaved", "every second channel is a gate"),
        computing(_every_second),
    ),
    put(
        *(pairs.SHUFFLED, "activation/activation", "glu-second-swapped", "SiLU of the first half times the second"),
        computing(lambda x: jax.nn.silu(jnp.split(x, 2, -3)[0]) * jnp.split(x, 2, -3)[1]),
        causes=("glu-halves-swapped", "chunk-order"),
    ),
    put(
        *(pairs.SLOPES, _WHERE, "prelu-channel-axis", "slopes along the wrong axis"),
        around("__call__", _over_width),
    ),
    put(
        *(pairs.EXPONENTIAL, _WHERE, "elu-alpha-dropped", "alpha is ignored"),
        setting(options=()),
    ),
    put(
        *(pairs.LEAKY, _WHERE, "leaky-slope", "a slope of 0.2 in place of 0.01"),
        setting(options=(("negative_slope", 0.2),)),
    ),
    put(
        *(pairs.SIGMOID, _WHERE, "hardsigmoid-keras", "0.2 x + 0.5 in place of x / 6 + 0.5"),
        computing(lambda x: jnp.clip(0.2 * x + 0.5, 0, 1)),
    ),
    put(
        *(pairs.SOFT, _WHERE, "softplus-beta-dropped", "another beta"),
        setting(options=(("beta", 2.0),)),
    ),
    put(
        *(pairs.REPARAMETRISED, _WHERE, "custom-backward-dropped", "the gradient is ReLU's own"),
        computing(jax.nn.relu),
        checks=("input_grad",),
        causes=("activation-swapped",),  # ReLU where the smooth function stood
    ),
    put(
        *(pairs.SOFTMAX, _WHERE, "softmax-axis", "along the last axis, in place of torch's old rule"),
        setting(options=(("dim", -1),)),
    ),
    put(
        *(pairs.RECTIFIED, _WHERE, "relu-subgradient", "`jnp.maximum`: a half at zero"),
        computing(lambda x: jnp.maximum(x, 0)),
        checks=("special",),
        causes=("semantic boundary",),
    ),
    put(
        *(pairs.LIMITED, _WHERE, "activation-limit-missing", "no limit above"),
        computing(jax.nn.relu),
        checks=("special",),
    ),
    put(
        *(pairs.LOG_SIGMOID, _WHERE, "logsigmoid-naive", "log(sigmoid(x)), which underflows"),
        computing(lambda x: jnp.log(jax.nn.sigmoid(x))),
        checks=("special",),
    ),
    put(
        *(pairs.SOFTMAX_2D, _WHERE, "softmax-unshifted", "the largest logit is not subtracted"),
        computing(_exponentials),
        checks=("special",),
    ),
    put(
        *(pairs.LOG_SOFTMAX, _WHERE, "logsoftmax-naive", "log(softmax(x)), which underflows"),
        computing(lambda x: jnp.log(jax.nn.softmax(x, 1))),
        checks=("special",),
    ),
    put(
        *(pairs.UNIT, _WHERE, "l2norm-eps-form", "epsilon inside the root in place of a floor"),
        computing(_root_of_sum),
        checks=("special",),
    ),
    put(
        *(pairs.UNIT, _WHERE, "norm-at-zero", "`jnp.linalg.norm`: NaN at zero"),
        computing(lambda x: x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)),
        checks=("special",),
        causes=("l2norm-eps-form",),
    ),
)
