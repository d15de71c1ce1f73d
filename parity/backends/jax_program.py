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
from parity.formats import FORMATS, Precision, is_floating
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
        self._compiled = {train: jax.jit(self._step(train)) for train in (False, True)}

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """The model's own parameters and buffers by path."""

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
    ) -> Record:
        """See `Program.run`; names are paths."""
        dtype = FORMATS[precision]
        with isolated(precision):
            cast = {path: as_dtype(value, dtype) for path, value in state.items()}
            parameters = {path: value for path, value in cast.items() if path in self.parameters()}
            buffers = {path: value for path, value in cast.items() if path not in parameters}
            arguments = tuple(as_dtype(value, dtype) for value in inputs)
            weights = {name: as_dtype(value, dtype) for name, value in (cotangents or {}).items()}
            found = self._compiled[train](parameters, buffers, arguments, weights, np.uint32(seed & 0xFFFFFFFF))
            outputs, input_grads, param_grads, after = jax.tree.map(np.asarray, found)
        return Record(outputs=outputs, input_grads=input_grads, param_grads=param_grads, buffers=after)

    def _step(self, train: bool) -> Any:
        """The function that is compiled: primal, cotangents of inputs and parameters, buffers."""

        def step(parameters: Leaves, buffers: Leaves, inputs: tuple[Any, ...], weights: Leaves, seed: Any) -> Any:
            floating = {f"input[{i}]": x for i, x in enumerate(inputs) if jnp.issubdtype(x.dtype, jnp.floating)}

            def primal(parameters: Leaves, floating: Leaves) -> tuple[Leaves, tuple[Leaves, Leaves]]:
                arguments = tuple(floating.get(f"input[{i}]", x) for i, x in enumerate(inputs))
                key = jax.random.key(seed)
                result, after = self.apply({**parameters, **buffers}, arguments, train=train, key=key)
                outputs = {name: jnp.asarray(leaf) for name, leaf in structure.leaves(self.call.select(result))}
                smooth = {n: v for n, v in outputs.items() if jnp.issubdtype(v.dtype, jnp.inexact)}
                discrete = {n: v for n, v in outputs.items() if n not in smooth}
                return smooth, (discrete, after)

            smooth, pull, (discrete, after) = jax.vjp(primal, dict(parameters), floating, has_aux=True)
            param_grads, input_grads = pull({name: _weight(weights.get(name), value) for name, value in smooth.items()})
            return {**smooth, **discrete}, input_grads, param_grads, after

        return step


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
