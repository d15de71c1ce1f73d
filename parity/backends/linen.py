"""Flax linen modules behind the common protocol."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, traverse_util

from parity.backends.base import Call
from parity.backends.jax_program import JaxProgram, Leaves, as_dtype, isolated


class LinenProgram(JaxProgram):
    """A linen module and its variables, flattened to `collection/module/leaf` paths.

    The mode reaches the module through a keyword of its method: `train`, `training`, `deterministic` or
    `use_running_average`, whichever it takes. Beside the module may be given its variables, or the inputs of `__call__`
    from which they follow; otherwise they follow from the inputs of the call that is compared.
    """

    framework = "linen"

    def __init__(self, model: linen.Module, inputs: tuple[Any, ...], call: Call, *, given: Any = None) -> None:
        self._inputs = given if isinstance(given, tuple) else inputs
        called: Any = getattr(type(model), call.method or "__call__")
        self._keywords = frozenset(inspect.signature(called).parameters)
        super().__init__(model, call)
        self._method = call.method if given is None else None
        self._given = given if isinstance(given, Mapping) else None
        with isolated("float64"):
            shapes = self._given or jax.eval_shape(self._initial)
        self._variables: dict[str, Any] = dict(traverse_util.flatten_dict(shapes, sep="/"))

    def _initial(self) -> Any:
        """Fresh variables, from the inputs of the call or those that were given for it."""
        keys, inputs = self.keys(jax.random.key(0)), tuple(as_dtype(value, np.float64) for value in self._inputs)
        with first_states({"": np.float64(0)}):
            return self.model.init(keys, *inputs, method=self._method, **self.mode(train=False))

    def state(self) -> dict[str, np.ndarray]:
        """Every variable by path, the collection first; computed here where no variables were given."""
        with isolated("float64"):
            variables = self._given or self._initial()
        return {path: np.asarray(value) for path, value in traverse_util.flatten_dict(variables, sep="/").items()}

    def leaves(self) -> frozenset[str]:
        """Paths of every parameter and buffer."""
        return frozenset(self._variables)

    def parameters(self) -> frozenset[str]:
        """Paths in the `params` collection."""
        return frozenset(path for path in self._variables if path.startswith("params/"))

    def target(self) -> Any:
        """The module with example inputs, from which its variables follow."""
        return self.model, self._inputs

    def apply(self, leaves: Leaves, inputs: tuple[Any, ...], *, train: bool, key: Any) -> tuple[Any, Leaves]:
        """Applies the module; collections other than `params` are mutable in training mode."""
        variables = traverse_util.unflatten_dict(dict(leaves), sep="/")
        trained = self.parameters()
        buffers = [path for path in self._variables if path not in trained]
        with first_states(leaves):
            result, changed = self.model.apply(
                variables,
                *inputs,
                method=self.call.method,
                mutable=sorted({path.split("/")[0] for path in buffers}) if train else [],
                rngs=self.keys(key),
                **self.mode(train=train),
            )
        after = {**leaves, **traverse_util.flatten_dict(changed, sep="/")}
        return result, {path: after[path] for path in buffers}

    def mode(self, *, train: bool) -> dict[str, bool]:
        """The keyword arguments that put the module into a mode."""
        wanted = {
            "train": train,
            "training": train,
            "deterministic": not train,
            "use_running_average": not train,
        }
        return {name: value for name, value in wanted.items() if name in self._keywords}

    @staticmethod
    def keys(key: Any) -> dict[str, Any]:
        """Streams that linen modules ask for by name."""
        params, dropout = jax.random.split(key)
        return {"params": params, "dropout": dropout}


@contextmanager
def first_states(leaves: Leaves) -> Generator[None]:
    """Lets recurrent cells make their first state in the format of the weights.

    Flax makes it in `param_dtype`, float32 unless told otherwise, and refuses to scan where weights or inputs have
    another format. The method is no part of a module's interface that Flax lets others intercept.
    """
    formats = [leaf.dtype for leaf in leaves.values() if jnp.issubdtype(leaf.dtype, jnp.floating)]
    cells = [cell for cell in _kinds(linen.RNNCellBase) if "initialize_carry" in vars(cell)] if formats else []
    own = {cell: cell.initialize_carry for cell in cells}
    for cell, make in own.items():
        cell.initialize_carry = _in_format(make, formats[0])
    try:
        yield
    finally:
        for cell, make in own.items():
            cell.initialize_carry = make


def _in_format(make: Callable[..., Any], dtype: Any) -> Callable[..., Any]:
    """A cell's `initialize_carry`, its float32 arrays in another format unless the cell was told its own."""

    @functools.wraps(make)
    def made(cell: Any, *args: Any, **kwargs: Any) -> Any:
        carry = make(cell, *args, **kwargs)
        if getattr(cell, "param_dtype", None) != jnp.float32:
            return carry
        return jax.tree.map(lambda leaf: leaf.astype(dtype) if leaf.dtype == jnp.float32 else leaf, carry)

    return made


def _kinds(kind: type) -> Iterator[Any]:
    """A class and everything derived from it."""
    yield kind
    for derived in kind.__subclasses__():
        yield from _kinds(derived)
