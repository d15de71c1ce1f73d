"""How ports lose precision, and how they start otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import nnx

from models.catalogue.precision.pair import MIXED, STARTED
from parity.faults import around, at, both, family

if TYPE_CHECKING:
    from jax import Array

    from parity.faults import Edit


def _in_float32(original: Any, x: Array) -> Array:
    return original(x.astype(jnp.float32)).astype(x.dtype) if x.dtype == jnp.float64 else original(x)


def _float32_table(original: Any, x: Array) -> Array:
    return original(x.astype(jnp.float32))


def _operands_of(bits: int) -> Any:
    """A product whose operands keep `bits` bits of their significands, as some devices take them by default."""

    def product(original: Any, x: Array) -> Array:
        linear = original.__self__
        kernel, bias = linear.kernel[...], linear.bias[...]
        x, kernel = (jax.lax.reduce_precision(v, 8, bits) if v.dtype == jnp.float32 else v for v in (x, kernel))
        return x @ kernel + bias

    return product


def _without_raising(original: Any, x: Array) -> Array:
    return jax.nn.softmax(x, -1)


def _norm_without_raising(original: Any, x: Array) -> Array:
    return x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-6)


def _started(name: str, draw: Any) -> Edit:
    """A leaf that starts otherwise."""

    def edit(module: Any) -> Any:
        before = getattr(module, name)
        setattr(module, name, nnx.Param(draw(jax.random.key(7), before.shape)))
        return lambda: setattr(module, name, before)

    return edit


def _fan_of_transposed(key: Array, shape: tuple[int, ...]) -> Array:
    bound = shape[1] ** -0.5
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def _orthogonal_gates(key: Array, shape: tuple[int, ...]) -> Array:
    """An orthogonal matrix per gate."""
    keys = jax.random.split(key, shape[0] // shape[1])
    return jnp.concatenate([nnx.initializers.orthogonal()(k, (shape[1], shape[1])) for k in keys])


lecun = nnx.initializers.lecun_normal()

FAULTS = family(
    "precision",
    at(
        *(MIXED, "dense", "f32-island-in-f64", "a layer that computes in float32 whatever it is given"),
        around("__call__", _in_float32),
        checks=("dtypes", "forward"),
    ),
    at(
        *(MIXED, "", "x64-silent-downcast", "inputs are cast to float32"),
        around("__call__", _in_float32),
        checks=("dtypes", "forward"),
        causes=("f32-island-in-f64",),
    ),
    at(
        *(MIXED, "positions", "table-low-precision", "a table built in float32"),
        around("table", _float32_table),
        checks=("dtypes", "forward"),
    ),
    at(
        *(MIXED, "dense", "tf32-default-gpu", "operands of 10 bits in float32"),
        around("__call__", _operands_of(10)),
        causes=("stability",),
    ),
    at(
        *(MIXED, "out", "tpu-bf16-default", "operands of 7 bits in float32"),
        around("__call__", _operands_of(7)),
        causes=("stability",),
    ),
    at(
        *(MIXED, "softmax", "softmax-upcast-dropped", "softmax in the precision of its input"),
        around("__call__", _without_raising),
        checks=("dtypes", "forward"),
    ),
    at(
        *(MIXED, "norm", "autocast-region", "a norm in the precision of its input"),
        around("__call__", _norm_without_raising),
        checks=("dtypes", "forward"),
    ),
    at(
        *(STARTED, "dense", "init-linear", "Flax's default: normal weights, a bias of zero"),
        both(_started("kernel", lecun), _started("bias", lambda key, shape: jnp.zeros(shape))),
        checks=("initial",),
    ),
    at(
        *(STARTED, "tokens", "init-embedding", "Flax's default: a narrow normal"),
        _started("embedding", lambda key, shape: jax.random.normal(key, shape) * shape[1] ** -0.5),
        checks=("initial",),
    ),
    at(
        *(STARTED, "dense", "init-fan-axis", "the wrong axis counts as inputs"),
        _started("kernel", _fan_of_transposed),
        checks=("initial",),
    ),
    at(
        *(STARTED, "rnn", "init-rnn", "Flax's default: orthogonal recurrent weights"),
        _started("weight_hh", _orthogonal_gates),
        checks=("initial",),
    ),
    at(
        *(STARTED, "last", "init-special-skipped", "the last layer does not start at zero"),
        _started("kernel", lecun),
        checks=("initial",),
    ),
)
