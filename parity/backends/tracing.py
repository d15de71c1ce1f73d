"""Traced runs: each module's call with its arrays, by the means of each framework."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parity.backends import linen_trace, nnx_trace, torch_trace
from parity.backends.base import Candidate, Reference
from parity.backends.jax_noise import replaying
from parity.backends.jax_program import JaxProgram, Leaves, as_dtype, isolated
from parity.backends.jax_trace import Alone, Drawn, Recorder, split
from parity.backends.linen import LinenProgram
from parity.backends.nnx import NnxProgram
from parity.backends.torch import DTYPES, TorchProgram, load
from parity.formats import FORMATS, Precision
from parity.noise import Draw
from parity.record import Arrays
from parity.trace import Trace


def trace_reference(
    program: Reference, state: Arrays, inputs: tuple[np.ndarray, ...], *, precision: Precision, train: bool, seed: int
) -> Trace:
    """One run of the torch side, with cotangents for everything noted.

    Args:
      program: the torch side.
      state: every weight and buffer.
      inputs: positional arguments.
      precision: of the run.
      train: training mode.
      seed: of the example; draws the cotangents of the outputs.

    Returns:
      The trace; it owns a copy of the model.
    """
    assert isinstance(program, TorchProgram)
    module = program.copied(precision)
    load(module, state)
    module.train(train)
    return torch_trace.trace(module, program.call, inputs, dtype=DTYPES[precision], seed=seed)


def trace_candidate(
    program: Candidate,
    state: Arrays,
    inputs: tuple[np.ndarray, ...],
    *,
    precision: Precision,
    train: bool,
    seed: int,
    draws: tuple[Draw, ...] = (),
    unroll: bool = False,
) -> Trace:
    """One run of the JAX side, operation by operation; where loops hide calls, once more with the loops unrolled.

    NNX and linen modules are noted one by one; of other libraries the model as a whole is.

    Args:
      program: the JAX side.
      state: every weight and buffer, by path.
      inputs: positional arguments, in the candidate's layout.
      precision: of the run.
      train: training mode.
      seed: of the example.
      draws: those of the reference, for the candidate's to take their numbers from.
      unroll: whether loops may be unrolled.

    Returns:
      The trace.
    """
    assert isinstance(program, JaxProgram)
    expected, inside = program.requests_of(train, draws), program.draws_inside(train, draws)
    drawn = Drawn.of(seed, draws, expected, inside)

    def recorded() -> Recorder:
        recorder = Recorder(precision, drawn)
        _record(program, recorder, state, inputs, precision=precision, train=train, seed=seed)
        return recorder

    recorder = recorded()
    trace = recorder.trace()
    if recorder.blind and unroll and not inside:  # what is drawn in a loop is drawn once for all of its iterations
        with suppress(Exception), jax.disable_jit():  # a model that only runs compiled keeps the shorter trace
            return _unrolled(recorded().trace(), trace)
    return trace


def _unrolled(trace: Trace, plain: Trace) -> Trace:
    """The trace of unrolled loops, with the calls marked that the plain one does not have."""
    outside = Counter(call.name for call in plain.calls)
    everywhere = Counter(call.name for call in trace.calls)
    return replace(trace, calls=tuple(replace(c, looped=everywhere[c.name] > outside[c.name]) for c in trace.calls))


def _record(
    program: JaxProgram,
    recorder: Recorder,
    state: Arrays,
    inputs: tuple[np.ndarray, ...],
    *,
    precision: Precision,
    train: bool,
    seed: int,
) -> None:
    """Runs the model with every call noted that its library lets be watched."""
    with isolated(precision), replaying(recorder.replay):
        leaves = {path: jnp.asarray(as_dtype(value, FORMATS[precision])) for path, value in state.items()}
        arguments = tuple(jnp.asarray(as_dtype(value, FORMATS[precision])) for value in inputs)
        key = jax.random.key(np.uint32(seed & 0xFFFFFFFF))
        if isinstance(program, NnxProgram):
            nnx_trace.record(program, recorder, leaves, arguments, train=train)
        elif isinstance(program, LinenProgram):
            linen_trace.record(program, recorder, leaves, arguments, train=train, key=key)
        else:
            _record_whole(program, recorder, leaves, arguments, train=train, key=key)


def _record_whole(
    program: JaxProgram, recorder: Recorder, leaves: Leaves, inputs: tuple[Any, ...], *, train: bool, key: Any
) -> None:
    """A model whose modules cannot be watched, as one call."""

    def apply(given: Leaves, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Leaves]:
        del kwargs
        result, after = program.apply({**leaves, **given}, args, train=train, key=key)
        return program.call.select(result), after

    def call(*args: Any) -> Any:
        return apply(leaves, args, {})[0]

    recorder.around(program.model, "", lambda: Alone(*split(leaves, program.parameters()), apply), call, inputs, {})
