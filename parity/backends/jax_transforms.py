"""A JAX model under transformations that must not change what it computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from parity.backends.base import Candidate
from parity.backends.jax_program import JaxProgram, Leaves, isolated
from parity.formats import Precision
from parity.noise import Draw
from parity.record import Arrays, Record


class Transformed:
    """One model on some inputs of the same shapes, with one set of weights.

    Args:
      program: the JAX side.
      state: every weight and buffer, by path.
      inputs: several tuples of positional arguments, in the candidate's layout.
      precision: of the run.
      train: training mode.
      cotangents: of the floating outputs.
      seed: of the example.
      draws: of the reference.
    """

    def __init__(
        self,
        program: Candidate,
        state: Arrays,
        inputs: Sequence[tuple[np.ndarray, ...]],
        *,
        precision: Precision,
        train: bool,
        cotangents: Arrays,
        seed: int,
        draws: tuple[Draw, ...],
    ) -> None:
        assert isinstance(program, JaxProgram)
        self._program, self._train, self._draws = program, train, draws
        self._precision: Precision = precision
        with isolated(precision):
            arguments = [
                program.arguments(state, given, precision, cotangents=cotangents, seed=seed, draws=draws)
                for given in inputs
            ]
        self._arguments = arguments[0]
        self._inputs = [given[2] for given in arguments]

    def eager(self) -> list[Record]:
        """The first inputs operation by operation, without gradients."""
        with isolated(self._precision):
            arguments = jax.tree.map(jnp.asarray, self._arguments[:6])
            return [_record(self._program.forward(self._train)(*arguments, self._draws))]

    def vectorised(self) -> list[Record]:
        """All inputs at once, with gradients."""
        parameters, buffers, _, *rest = self._arguments[:6]
        with isolated(self._precision):
            stacked = jax.tree.map(lambda *found: jnp.stack(found), *self._inputs)
            found = self._program.compiled("vmap", self._train, self._precision, self._vmapped)(
                *(parameters, buffers, stacked, *rest), self._draws
            )
            return [_record(jax.tree.map(lambda leaf, i=i: leaf[i], found)) for i in range(len(self._inputs))]

    def scanned(self) -> list[Record]:
        """All inputs one after the other in one loop that carries the buffers, without gradients."""
        parameters, buffers, _, *rest = self._arguments[:6]
        with isolated(self._precision):
            stacked = jax.tree.map(lambda *found: jnp.stack(found), *self._inputs)
            found = self._program.compiled("scan", self._train, self._precision, self._looped)(
                *(parameters, buffers, stacked, *rest), self._draws
            )
            return [_record(jax.tree.map(lambda leaf, i=i: leaf[i], found)) for i in range(len(self._inputs))]

    def sharded(self) -> list[Record]:
        """The first inputs spread over all devices along their first axis; nothing where it does not divide."""
        devices = np.array(jax.devices())
        if len(devices) < 2 or any(not x.ndim or x.shape[0] % len(devices) for x in self._inputs[0]):
            return []
        mesh = Mesh(devices, ("batch",))
        rows, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("batch",), ()))
        with isolated(self._precision):
            parameters, buffers, inputs, *rest = self._arguments[:6]
            placed = jax.device_put((parameters, buffers), everywhere)
            spread = jax.device_put(inputs, rows)
            # A function of its own: one compiled for a single device must not be taken from the cache.
            compiled = self._program.compiled("sharded", self._train, self._precision, self._program.step)
            return [_record(compiled(*placed, spread, *jax.device_put(tuple(rest), everywhere), self._draws))]

    def _vmapped(self, train: bool) -> Any:
        step = self._program.step(train)

        def vmapped(
            parameters: Leaves, buffers: Leaves, inputs: Any, weights: Leaves, seed: Any, numbers: Any, draws: Any
        ) -> Any:
            return jax.vmap(lambda given: step(parameters, buffers, given, weights, seed, numbers, draws))(inputs)

        return vmapped

    def _looped(self, train: bool) -> Any:
        forward = self._program.forward(train)

        def looped(
            parameters: Leaves, buffers: Leaves, inputs: Any, weights: Leaves, seed: Any, numbers: Any, draws: Any
        ) -> Any:
            def body(carried: Leaves, given: Any) -> Any:
                outputs, *none, after = forward(parameters, carried, given, weights, seed, numbers, draws)
                return {**carried, **after}, (outputs, *none, after)

            return jax.lax.scan(body, dict(buffers), inputs)[1]

        return looped


def _record(found: Any) -> Record:
    """A record of what `step` or `forward` returns."""
    return Record(*jax.tree.map(np.asarray, tuple(found)))
