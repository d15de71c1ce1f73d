"""With which keys a JAX model draws, and what for, read off two calls that run operation by operation."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from parity import structure
from parity.backends.base import Candidate
from parity.backends.jax_noise import Fill, Numbers, Replay, replaying
from parity.backends.jax_program import JaxProgram, Leaves, isolated, quick_options
from parity.formats import Precision
from parity.noise import GRID, Draw
from parity.record import Arrays

Keys = tuple[tuple[int, ...] | None, ...]


def _rising(shape: tuple[int, ...]) -> jax.Array:
    """Evenly spaced numbers in (0, 1)."""
    count = math.prod(shape)
    return (jnp.arange(count).reshape(shape) + 0.5) / max(1, count)


EXTREMES: tuple[Fill, ...] = (
    lambda shape: jnp.full(shape, 1 / GRID),
    lambda shape: jnp.full(shape, 1 - 1 / GRID),
    _rising,
    lambda shape: 1 - _rising(shape),
)
"""Uniform numbers among which every event is seen, however rare: all low, all high, rising, falling."""


def keys_of_two_calls(
    program: Candidate, state: Arrays, inputs: tuple[np.ndarray, ...], *, precision: Precision, inside: bool = True
) -> tuple[Keys, Keys]:
    """The key of every draw of two successive calls in training mode; None for one inside a transformation.

    An NNX module is called twice as it is, so that its streams move on; other libraries are given two keys.

    Args:
      program: the JAX side.
      state: every weight and buffer, by path.
      inputs: positional arguments, in the candidate's layout.
      precision: of the run.
      inside: whether the model may draw inside of transformations.
    """
    assert isinstance(program, JaxProgram)
    with isolated(precision):
        parameters, buffers, arguments, *_ = program.arguments(state, inputs, precision)
        leaves = jax.tree.map(jnp.asarray, {**parameters, **buffers})
        call = program.caller(leaves, train=True)
        first, second = Replay((), (), anew=inside), Replay((), (), anew=inside)
        for replay, seed in ((first, 0), (second, 1)):
            with replaying(replay):
                call(jax.tree.map(jnp.asarray, arguments), jax.random.key(seed))
    return tuple(map(_data, first.keys)), tuple(map(_data, second.keys))


def idle_draws(
    program: Candidate,
    state: Arrays,
    inputs: tuple[np.ndarray, ...],
    draws: tuple[Draw, ...],
    *,
    precision: Precision,
    train: bool,
) -> bool:
    """Whether draws that none of the reference's answers leave no trace: the call is the same for all of `EXTREMES`.

    A module that is built anew at each call, as `nnx.bridge.ToLinen` does it, draws initial values that it throws away.
    Random numbers would not do: two calls in which a rare event does not happen are the same.

    Args:
      program: the JAX side.
      state: every weight and buffer, by path.
      inputs: positional arguments, in the candidate's layout.
      draws: those of the reference.
      precision: of the run.
      train: training mode.
    """
    assert isinstance(program, JaxProgram)
    expected = program.requests_of(train, draws)

    def called(leaves: Leaves, inputs: tuple[Any, ...], numbers: Numbers, extreme: Any) -> list[Any]:
        def fill(shape: tuple[int, ...]) -> Any:
            return jax.lax.switch(extreme, [functools.partial(filled, shape) for filled in EXTREMES])

        with replaying(Replay(draws, numbers, fill, expected, anew=True)):
            result, after = program.apply(leaves, inputs, train=train, key=jax.random.key(0))
        return [*(jnp.asarray(leaf) for _, leaf in structure.leaves(result)), *after.values()]

    with isolated(precision):
        parameters, buffers, arguments, *_, numbers, _ = program.arguments(state, inputs, precision, draws=draws)
        given = {**parameters, **buffers}, arguments, numbers
        compiled = jax.jit(called, compiler_options=quick_options())
        first, *others = (jax.tree.map(np.asarray, compiled(*given, index)) for index in range(len(EXTREMES)))
    pairs = [pair for other in others for pair in zip(first, other, strict=True)]
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)


def _data(key: Any) -> tuple[int, ...] | None:
    """A key's bits."""
    if isinstance(key, Tracer):
        return None
    raw = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return tuple(int(word) for word in np.asarray(raw).ravel())
