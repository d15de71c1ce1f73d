"""The keys with which a JAX model draws, read off two calls that run operation by operation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from parity.backends.base import Candidate
from parity.backends.jax_noise import Replay, replaying
from parity.backends.jax_program import JaxProgram, isolated
from parity.formats import Precision
from parity.record import Arrays

Keys = tuple[tuple[int, ...] | None, ...]


def keys_of_two_calls(
    program: Candidate, state: Arrays, inputs: tuple[np.ndarray, ...], *, precision: Precision
) -> tuple[Keys, Keys]:
    """The key of every draw of two successive calls in training mode; None for one inside a transformation.

    An NNX module is called twice as it is, so that its streams move on; other libraries are given two keys.

    Args:
      program: the JAX side.
      state: every weight and buffer, by path.
      inputs: positional arguments, in the candidate's layout.
      precision: of the run.
    """
    assert isinstance(program, JaxProgram)
    with isolated(precision):
        parameters, buffers, arguments, *_ = program.arguments(state, inputs, precision)
        leaves = jax.tree.map(jnp.asarray, {**parameters, **buffers})
        call = program.caller(leaves, train=True)
        first, second = Replay((), ()), Replay((), ())
        for replay, seed in ((first, 0), (second, 1)):
            with replaying(replay):
                call(jax.tree.map(jnp.asarray, arguments), jax.random.key(seed))
    return tuple(map(_data, first.keys)), tuple(map(_data, second.keys))


def _data(key: Any) -> tuple[int, ...] | None:
    """A key's bits."""
    if isinstance(key, Tracer):
        return None
    raw = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return tuple(int(word) for word in np.asarray(raw).ravel())
