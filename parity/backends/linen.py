"""Flax linen modules behind the common protocol."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import jax
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
