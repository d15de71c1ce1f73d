"""What all JAX libraries share: one compiled function for outputs, gradients and buffers together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parity import structure
from parity.backends.base import Call
from parity.backends.jax_noise import Numbers, Replay, replaying
from parity.formats import FORMATS, Precision, is_floating
from parity.noise import Draw, Request, uniforms
from parity.record import Arrays, Record

Leaves = Mapping[str, Any]


class JaxProgram:
    """A JAX model as a pure function of flat leaves, compiled once per shapes, mode and precision.

    A final subclass says what the leaves are and how the model is applied; this class differentiates and compiles.
    """

    framework: str
    model: Any

    def __init__(self, model: Any, call: Call) -> None:
        self.model = model
        self.call = call
        self.requests: dict[tuple[bool, tuple[Draw, ...]], tuple[Request, ...]] = {}
        self._compiled = {train: jax.jit(self.step(train), static_argnums=6) for train in (False, True)}
        self._forward = {train: jax.jit(self.forward(train), static_argnums=6) for train in (False, True)}

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """The model's own parameters and buffers by path."""

    @abstractmethod
    def leaves(self) -> frozenset[str]:
        """Paths of every parameter and buffer."""

    @abstractmethod
    def parameters(self) -> frozenset[str]:
        """Paths of the leaves that are differentiated."""

    @abstractmethod
    def target(self) -> Any:
        """The model as the weight bridge takes it."""

    @abstractmethod
    def apply(self, leaves: Leaves, inputs: tuple[Any, ...], *, train: bool, key: Any) -> tuple[Any, Leaves]:
        """Runs the model: (raw result, buffers by path after the call)."""

    def run(
        self,
        state: Arrays,
        inputs: tuple[np.ndarray, ...],
        *,
        precision: Precision,
        train: bool,
        cotangents: Arrays | None,
        seed: int,
        draws: tuple[Draw, ...] = (),
        gradients: bool = True,
    ) -> Record:
        """See `Program.run`; names are paths."""
        compiled = self._compiled if gradients else self._forward
        with isolated(precision):
            arguments = self.arguments(state, inputs, precision, cotangents=cotangents, seed=seed, draws=draws)
            found = compiled[train](*arguments)
            outputs, input_grads, param_grads, after = jax.tree.map(np.asarray, found)
        return Record(outputs, input_grads, param_grads, after, draws)

    def arguments(
        self,
        state: Arrays,
        inputs: tuple[np.ndarray, ...],
        precision: Precision,
        *,
        cotangents: Arrays | None = None,
        seed: int = 0,
        draws: tuple[Draw, ...] = (),
    ) -> tuple[Any, ...]:
        """What `step` takes: parameters, buffers, inputs, cotangents, seed, uniform numbers, their draws."""
        dtype = FORMATS[precision]
        cast = {path: as_dtype(value, dtype) for path, value in state.items()}
        parameters = {path: value for path, value in cast.items() if path in self.parameters()}
        buffers = {path: value for path, value in cast.items() if path not in parameters}
        weights = {name: as_dtype(value, dtype) for name, value in (cotangents or {}).items()}
        numbers = tuple(uniforms(seed, index, draw.shape) for index, draw in enumerate(draws))
        arguments = tuple(as_dtype(value, dtype) for value in inputs)
        return parameters, buffers, arguments, weights, np.uint32(seed & 0xFFFFFFFF), numbers, draws

    def traced(self, train: bool, *arguments: Any) -> Any:
        """The trace of `step` that `run` compiles, made now or taken from there."""
        return self._compiled[train].trace(*arguments)

    def call_once(
        self, leaves: Leaves, inputs: tuple[Any, ...], seed: Any, numbers: Numbers, draws: tuple[Draw, ...], train: bool
    ) -> tuple[Leaves, Leaves, Leaves]:
        """The model as a pure function: floating outputs, other outputs, buffers after the call."""
        replay = Replay(draws, numbers)
        with replaying(replay):
            result, after = self.apply(leaves, inputs, train=train, key=jax.random.key(seed))
        self.requests[train, draws] = tuple(replay.requests)
        outputs = {name: jnp.asarray(leaf) for name, leaf in structure.leaves(self.call.select(result))}
        smooth = {name: value for name, value in outputs.items() if jnp.issubdtype(value.dtype, jnp.inexact)}
        return smooth, {name: value for name, value in outputs.items() if name not in smooth}, after

    def forward(self, train: bool) -> Any:
        """`step` without gradients, which compiles sooner."""

        def forward(
            parameters: Leaves, buffers: Leaves, inputs: tuple[Any, ...], weights: Leaves, *rest: Any
        ) -> tuple[Leaves, Leaves, Leaves, Leaves]:
            del weights
            smooth, discrete, after = self.call_once({**parameters, **buffers}, inputs, *rest, train)
            return {**smooth, **discrete}, {}, {}, after

        return forward

    def step(self, train: bool) -> Any:
        """The function that is compiled: primal, cotangents of inputs and parameters, buffers."""

        def step(
            parameters: Leaves,
            buffers: Leaves,
            inputs: tuple[Any, ...],
            weights: Leaves,
            seed: Any,
            numbers: Numbers,
            draws: tuple[Draw, ...],
        ) -> Any:
            def primal(parameters: Leaves, floating: Leaves) -> tuple[Leaves, tuple[Leaves, Leaves]]:
                leaves, arguments = {**parameters, **buffers}, filled(inputs, floating)
                smooth, discrete, after = self.call_once(leaves, arguments, seed, numbers, draws, train)
                return smooth, (discrete, after)

            smooth, pull, (discrete, after) = jax.vjp(primal, dict(parameters), floating(inputs), has_aux=True)
            param_grads, input_grads = pull({name: _weight(weights.get(name), value) for name, value in smooth.items()})
            return {**smooth, **discrete}, input_grads, param_grads, after

        return step


def floating(inputs: tuple[Any, ...]) -> dict[str, Any]:
    """The inputs that are differentiated, by leaf name."""
    return {f"input[{i}]": x for i, x in enumerate(inputs) if jnp.issubdtype(x.dtype, jnp.floating)}


def filled(inputs: tuple[Any, ...], floating: Leaves) -> tuple[Any, ...]:
    """The inputs, with the differentiated ones put in their places."""
    return tuple(floating.get(f"input[{i}]", x) for i, x in enumerate(inputs))


def _weight(weight: Any, value: Any) -> Any:
    """The cotangent of one output; zeros where the reference has no such output, which `forward` reports."""
    if weight is None or weight.shape != value.shape:
        return jnp.zeros_like(value)
    return weight.astype(value.dtype)


def as_dtype(value: Any, dtype: Any) -> np.ndarray:
    """Floating arrays in the run's precision; others as they are."""
    value = np.asarray(value)
    return value.astype(dtype) if is_floating(value) else value


@contextmanager
def isolated(precision: Precision) -> Generator[None]:
    """64-bit types where asked for, and full-precision products; both restored afterwards."""
    with jax.enable_x64(precision == "float64"), jax.default_matmul_precision("highest"):
        yield
