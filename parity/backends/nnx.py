"""Flax NNX modules behind the common protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from parity.backends.base import Call
from parity.backends.jax_program import JaxProgram, Leaves

Path = tuple[Any, ...]


class NnxProgram(JaxProgram):
    """An NNX module, split once into its graph and its flat state; random streams keep their keys.

    An abstract module, with shapes in place of values, is as good as a live one: values come with every run.
    """

    framework = "nnx"

    def __init__(self, model: nnx.Module, call: Call) -> None:
        self._graph, state = nnx.split(model)
        flat = dict(nnx.to_flat_state(state))
        streams = {path: v for path, v in flat.items() if isinstance(v, nnx.RngState)}
        self._random = {path: _concrete(variable) for path, variable in streams.items()}
        self._variables: dict[str, tuple[Path, Any]] = {
            "/".join(map(str, path)): (path, v) for path, v in flat.items() if path not in self._random
        }
        super().__init__(model, call)

    def state(self) -> dict[str, np.ndarray]:
        """Every variable but the random streams, by path."""
        return {path: np.asarray(variable.get_value()) for path, (_, variable) in self._variables.items()}

    def leaves(self) -> frozenset[str]:
        """Paths of every parameter and buffer."""
        return frozenset(self._variables)

    def parameters(self) -> frozenset[str]:
        """Paths of the `nnx.Param` variables."""
        return frozenset(path for path, (_, variable) in self._variables.items() if isinstance(variable, nnx.Param))

    def target(self) -> Any:
        """The module itself."""
        return self.model

    def apply(self, leaves: Leaves, inputs: tuple[Any, ...], *, train: bool, key: Any) -> tuple[Any, Leaves]:
        """Merges graph and leaves, sets the mode, calls, and reads the buffers back."""
        model = self.bind(leaves, train=train)
        result = self.call.of(model)(*inputs)
        trained = self.parameters()
        buffers = {path: name for name, (path, _) in self._variables.items() if name not in trained}
        after = dict(nnx.to_flat_state(nnx.state(model)))
        return result, {name: after[path].get_value() for path, name in buffers.items()}

    def caller(self, leaves: Leaves, *, train: bool) -> Callable[[tuple[Any, ...], Any], Any]:
        """Calls one module, whose streams move on from call to call."""
        model = self.bind(leaves, train=train)
        return lambda inputs, key: self.call.of(model)(*inputs)

    def bind(self, leaves: Leaves, *, train: bool) -> Any:
        """A module that holds these leaves, in the given mode."""
        flat = [(path, variable.replace(leaves[name])) for name, (path, variable) in self._variables.items()]
        fresh = [(path, variable.replace(variable.get_value())) for path, variable in self._random.items()]
        model = nnx.merge(self._graph, nnx.from_flat_state([*flat, *fresh]))
        (model.train if train else model.eval)()
        _start_in_format(model, leaves)
        return model


def _start_in_format(model: nnx.Module, leaves: Leaves) -> None:
    """Lets recurrent cells make their first state in the format of the weights.

    Flax makes it in `param_dtype`, float32 unless told otherwise, and refuses to scan where the weights have been
    given another format.
    """
    formats = [leaf.dtype for leaf in leaves.values() if jnp.issubdtype(leaf.dtype, jnp.floating)]
    for _, module in nnx.iter_modules(model) if formats else ():
        if isinstance(module, nnx.RNNCellBase) and getattr(module, "param_dtype", None) == jnp.float32:
            setattr(module, "param_dtype", formats[0])  # noqa: B010  # the base class does not declare it


def _concrete(variable: Any) -> Any:
    """A random stream's key or count; a fixed one where the module is abstract."""
    value = variable.get_value()
    if not isinstance(value, jax.ShapeDtypeStruct):
        return variable
    is_key = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    return variable.replace(jax.random.key(0) if is_key else np.zeros(value.shape, value.dtype))
