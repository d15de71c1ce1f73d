"""What all JAX libraries share of tracing: a recorder of eager calls, and modules run alone as pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from parity import structure
from parity.backends.jax_noise import Numbers, Replay, replaying
from parity.backends.jax_program import Leaves, as_dtype, isolated
from parity.formats import FORMATS, Precision
from parity.noise import Draw, Request, uniforms
from parity.record import Arrays, Record
from parity.trace import ModuleCall, Trace, is_array, numbers

Pure = Callable[[Leaves, tuple[Any, ...], dict[str, Any]], tuple[Any, Leaves]]
"""(leaves by full path, arguments, keywords) → (raw result, buffers by full path)."""


@dataclass(frozen=True)
class Alone:
    """One module apart from its model.

    Attributes:
      parameters: its differentiable leaves by full path.
      buffers: its other leaves by full path.
      apply: runs it.
    """

    parameters: Arrays
    buffers: Arrays
    apply: Pure


@dataclass(frozen=True)
class Drawn:
    """Where in the example's random numbers a call begins.

    Attributes:
      draws: those of the reference.
      numbers: uniform numbers of each.
      expected: what the whole call asks for, and how it is answered, where that is known.
      inside: whether the model draws inside of transformations, where that is known.
      before: what the model had asked for earlier in the same run.
    """

    draws: tuple[Draw, ...]
    numbers: Numbers
    expected: tuple[Request, ...] = ()
    inside: bool | None = None
    before: tuple[Request, ...] = ()

    @classmethod
    def of(
        cls, seed: int, draws: tuple[Draw, ...], expected: tuple[Request, ...] = (), inside: bool | None = None
    ) -> Drawn:
        """The beginning of an example."""
        numbers = tuple(uniforms(seed, index, draw.shape) for index, draw in enumerate(draws))
        return cls(draws, numbers, expected, inside)

    def replay(self) -> Replay:
        """Answers from here on."""
        replay = Replay(self.draws, self.numbers, expected=self.expected, anew=self.inside)
        replay.requests.extend(self.before)
        return replay


@dataclass(frozen=True)
class JaxRun:
    """One traced call, ready to run again on other inputs.

    Attributes:
      alone: takes the module apart; called when the module is first run.
      args: traced positional arguments.
      kwargs: traced keyword arguments.
      precision: of the run.
      drawn: where its random numbers begin.
    """

    alone: Callable[[], Alone]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    precision: Precision
    drawn: Drawn

    def __call__(self, inputs: Arrays, cotangents: Arrays | None = None) -> Record:
        """See `Rerun`; runs operation by operation, so that nothing is compiled for one use."""
        with isolated(self.precision), replaying(self.drawn.replay()):
            alone = self.alone()
            plain = {name: v.item() for name, v in inputs.items() if name in self.numbers}
            given = {n: jnp.asarray(as_dtype(v, FORMATS[self.precision])) for n, v in inputs.items() if n not in plain}
            floating = {name: v for name, v in given.items() if jnp.issubdtype(v.dtype, jnp.inexact)}
            given |= plain
            if cotangents is None:
                smooth, (discrete, after) = self.primal(alone, given, alone.parameters, floating)
                outputs, after = jax.tree.map(np.asarray, ({**smooth, **discrete}, after))
                return Record(outputs, buffers=after)

            def primal(parameters: Leaves, floating: Leaves) -> tuple[Leaves, tuple[Leaves, Leaves]]:
                return self.primal(alone, given, parameters, floating)

            smooth, pull, (discrete, after) = jax.vjp(primal, dict(alone.parameters), floating, has_aux=True)
            weights = {
                n: as_dtype(cotangents[n], v.dtype) if n in cotangents else jnp.zeros_like(v) for n, v in smooth.items()
            }
            param_grads, input_grads = pull(weights)
            found = jax.tree.map(np.asarray, ({**smooth, **discrete}, input_grads, param_grads, after))
        return Record(*found)

    @property
    def numbers(self) -> Arrays:
        """Arguments that are plain numbers, and stay such."""
        return {**numbers(self.args, "input"), **numbers(self.kwargs, "input")}

    def primal(
        self, alone: Alone, given: Leaves, parameters: Leaves, floating: Leaves
    ) -> tuple[Leaves, tuple[Leaves, Leaves]]:
        """Floating outputs, discrete outputs, buffers."""
        values = {**given, **floating}
        args = structure.replaced(self.args, values, "input")
        kwargs = structure.replaced(self.kwargs, values, "input")
        result, after = alone.apply({**alone.buffers, **parameters}, args, kwargs)
        outputs = {name: jnp.asarray(leaf) for name, leaf in arrays(result, "output").items()}
        smooth = {n: v for n, v in outputs.items() if jnp.issubdtype(v.dtype, jnp.inexact)}
        return smooth, ({n: v for n, v in outputs.items() if n not in smooth}, after)


@dataclass
class _Open:
    """A call that has begun."""

    name: str
    kind: str
    nth: int
    order: int
    parent: int | None
    module: Any
    alone: Callable[[], Alone]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    before: tuple[Request, ...]
    differentiated: bool
    outputs: Arrays = field(default_factory=dict[str, np.ndarray])


class Recorder:
    """Notes calls of modules as they happen, and hands the trace out at the end.

    Calls inside `jit`, `scan` or `vmap` have no values: they are left out, and the module around the transformation
    stands for them. Inside `jax.grad` they have.

    Attributes:
      replay: answers what the model draws.
      blind: some call was left out.
    """

    def __init__(self, precision: Precision, drawn: Drawn) -> None:
        self._precision: Precision = precision
        self._drawn = drawn
        self.replay = drawn.replay()
        self.blind = False
        self._calls: list[_Open] = []
        self._counts: Counter[str] = Counter()
        self._stack: list[_Open] = []

    def around(
        self,
        module: Any,
        name: str,
        alone: Callable[[], Alone],
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        held: Any = (),
    ) -> Any:
        """Runs a call of a module and notes it.

        Args:
          module: the module object.
          name: its path.
          alone: takes it apart, for running it again.
          call: applied to the arguments.
          args: positional arguments.
          kwargs: keyword arguments.
          held: the module's own values.

        Returns:
          The result of the call, as it is.
        """
        nested = bool(self._stack) and self._stack[-1].name == name  # a class that calls its parent's `__call__`
        known = _valued(args, "input"), _valued(kwargs, "input")
        traced = _traced((known, held))
        self.blind |= traced
        if nested or traced:
            return call(*args, **kwargs)
        parent = self._stack[-1].order if self._stack else None
        kind = getattr(module, "__name__", None) or type(module).__name__
        place = (name, kind, self._counts[name], len(self._calls), parent)
        opened = _Open(*place, module, alone, *known, tuple(self.replay.requests), _traced((args, kwargs)))
        self._counts[name] += 1
        self._calls.append(opened)
        self._stack.append(opened)
        try:
            result = call(*args, **kwargs)
        finally:
            self._stack.pop()
        opened.outputs = _noted(_valued(result, "output"), "output")
        return result

    def trace(self) -> Trace:
        """All calls so far that returned."""
        return Trace(
            tuple(
                ModuleCall(
                    *(c.name, c.kind, c.nth, c.order, c.parent),
                    inputs={**_noted(c.args, "input"), **_noted(c.kwargs, "input")},
                    outputs=c.outputs,
                    module=c.module,
                    rerun=JaxRun(c.alone, c.args, c.kwargs, self._precision, replace(self._drawn, before=c.before)),
                    numbers={**numbers(c.args, "input"), **numbers(c.kwargs, "input")},
                    differentiated=c.differentiated,
                )
                for c in self._calls
            )
        )


def arrays(tree: Any, name: str) -> dict[str, Any]:
    """Arrays among the leaves of arguments or of a result; keys of random streams are no arrays."""
    return {
        leaf: value
        for leaf, value in structure.leaves(tree, name)
        if is_array(value) and not jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    }


def value_of(leaf: Any) -> Any:
    """A leaf itself, or its value where it is being differentiated, which the tracers of `jax.grad` carry with them."""
    return jax.lax.stop_gradient(leaf) if isinstance(leaf, Tracer) else leaf


def split(leaves: Mapping[str, Any], parameters: frozenset[str]) -> tuple[Leaves, Leaves]:
    """Parameters and other leaves."""
    return (
        {path: value for path, value in leaves.items() if path in parameters},
        {path: value for path, value in leaves.items() if path not in parameters},
    )


def _traced(tree: Any) -> bool:
    """Whether a transformation is at work on some leaf."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def _valued(tree: Any, name: str) -> Any:
    """The tree with the values of what is being differentiated."""
    values = {leaf: value_of(value) for leaf, value in structure.leaves(tree, name) if isinstance(value, Tracer)}
    return structure.replaced(tree, values, name) if values else tree


def _noted(tree: Any, name: str) -> Arrays:
    """The arrays of a tree on the host."""
    return {leaf: np.asarray(value) for leaf, value in arrays(tree, name).items() if not isinstance(value, Tracer)}
