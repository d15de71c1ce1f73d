"""What all JAX libraries share: one compiled function for outputs, gradients and buffers together."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parity import structure
from parity.backends.base import Call
from parity.backends.jax_noise import Numbers, Replay, replaying
from parity.formats import FORMATS, Precision, is_floating
from parity.noise import Draw, Request, assigned, uniforms
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
        self._requests: dict[tuple[bool, tuple[Draw, ...]], tuple[Request, ...]] = {}
        self._inside: dict[tuple[bool, tuple[Draw, ...]], bool] = {}
        self._compiled: dict[tuple[str, bool, bool], Any] = {}

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

    def requests_of(self, train: bool, draws: tuple[Draw, ...]) -> tuple[Request, ...]:
        """See `Candidate.requests_of`."""
        return self._requests.get((train, draws), ())

    def draws_inside(self, train: bool, draws: tuple[Draw, ...]) -> bool | None:
        """See `Candidate.draws_inside`."""
        return self._inside.get((train, draws))

    def caller(self, leaves: Leaves, *, train: bool) -> Callable[[tuple[Any, ...], Any], Any]:
        """A function of inputs and a key that may be called again and again, as a user would."""
        return lambda inputs, key: self.apply(leaves, inputs, train=train, key=key)

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
        compiled = self.compiled("step" if gradients else "forward", train, precision)
        with isolated(precision):
            arguments = self.arguments(state, inputs, precision, cotangents=cotangents, seed=seed, draws=draws)
            found = compiled(*arguments)
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
        trained = self.parameters()
        parameters = {path: value for path, value in cast.items() if path in trained}
        buffers = {path: value for path, value in cast.items() if path not in parameters}
        weights = {name: as_dtype(value, dtype) for name, value in (cotangents or {}).items()}
        numbers = tuple(uniforms(seed, index, draw.shape) for index, draw in enumerate(draws))
        arguments = tuple(as_dtype(value, dtype) for value in inputs)
        return parameters, buffers, arguments, weights, np.uint32(seed & 0xFFFFFFFF), numbers, draws

    def compiled(self, kind: str, train: bool, precision: Precision, build: Callable[[bool], Any] | None = None) -> Any:
        """A function of the mode, compiled when first called with new shapes or draws.

        Args:
          kind: `step`, `forward`, or a name for what `build` returns.
          train: the mode.
          precision: of the run; float64 is compiled quickly, everything else as it is deployed.
          build: mode → a function whose parameter `draws` is static.
        """
        quickly = precision == "float64"
        if (kind, train, quickly) not in self._compiled:
            build = build or {"step": self.step, "forward": self.forward}[kind]
            options = quick_options() if quickly else deployed_options()
            self._compiled[kind, train, quickly] = jax.jit(
                build(train), static_argnames="draws", compiler_options=options
            )
        return self._compiled[kind, train, quickly]

    def call_once(
        self, leaves: Leaves, inputs: tuple[Any, ...], seed: Any, numbers: Numbers, draws: tuple[Draw, ...], train: bool
    ) -> tuple[Leaves, Leaves, Leaves]:
        """The model as a pure function: floating outputs, other outputs, buffers after the call."""
        key = jax.random.key(seed)
        inside = self.draws_inside(train, draws)
        replay = Replay(draws, numbers, expected=self.requests_of(train, draws), anew=inside)
        with replaying(replay):
            result, after = self.apply(leaves, inputs, train=train, key=key)
        requests = assigned(replay.requests, draws)
        if requests != tuple(replay.requests):
            with replaying(Replay(draws, numbers, expected=requests, anew=inside)):
                result, after = self.apply(leaves, inputs, train=train, key=key)
        self._requests[train, draws] = requests
        self._inside[train, draws] = replay.inside
        outputs = {name: jnp.asarray(leaf) for name, leaf in structure.leaves(self.call.select(result))}
        smooth = {name: value for name, value in outputs.items() if is_smooth(value)}
        return smooth, {name: value for name, value in outputs.items() if name not in smooth}, after

    def forward(self, train: bool) -> Any:
        """`step` without gradients, which compiles sooner."""

        def forward(
            parameters: Leaves,
            buffers: Leaves,
            inputs: tuple[Any, ...],
            weights: Leaves,
            seed: Any,
            numbers: Numbers,
            draws: tuple[Draw, ...],
        ) -> tuple[Leaves, Leaves, Leaves, Leaves]:
            del weights
            smooth, discrete, after = self.call_once({**parameters, **buffers}, inputs, seed, numbers, draws, train)
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


def is_smooth(value: Any) -> bool:
    """Whether an array has a derivative."""
    return jnp.issubdtype(value.dtype, jnp.inexact)


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
    return value.astype(dtype, copy=False) if is_floating(value) else value


@functools.cache
def quick_options() -> dict[str, Any] | None:
    """What makes XLA compile several times faster, where it knows these options; None where it does not.

    The fusion emitters are off for another reason too: on CPUs with AVX2 they were seen to compile concatenations
    inside batched loops wrongly in float64 (jaxlib 0.10.2; `tests/engine/test_compilation.py` has the example).
    """
    options = {
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
        "xla_cpu_use_fusion_emitters": False,
    }
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(np.float32(0)).compile()
    except (jax.errors.JaxRuntimeError, ValueError, TypeError):
        return None
    return options


def deployed_options() -> dict[str, Any] | None:
    """What compiles as users do in a process that was told to compile quickly, as a test suite may be."""
    if not jax.config.read("jax_disable_most_optimizations"):
        return None
    return {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}


@contextmanager
def isolated(precision: Precision) -> Generator[None]:
    """64-bit types where asked for, and full-precision products; both restored afterwards."""
    with jax.enable_x64(precision == "float64"), jax.default_matmul_precision("highest"):
        yield
