"""Plain JAX functions, Equinox modules and transformed Haiku functions: a pytree of arrays and a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parity.backends.base import Call
from parity.backends.jax_program import JaxProgram, Leaves


class FunctionProgram(JaxProgram):
    """A pytree whose array leaves are the parameters, and how to call it.

    Args of `call_tree`: the tree with its leaves replaced, the inputs, the mode, and a key.
    """

    def __init__(self, framework: str, model: Any, tree: Any, call: Call, call_tree: Callable[..., Any]) -> None:
        self.framework = framework
        self._call_tree = call_tree
        found, self._structure = jax.tree_util.tree_flatten_with_path(tree)
        self._leaves: list[tuple[str, Any]] = [(_path(keys), leaf) for keys, leaf in found]
        super().__init__(model, call)

    def state(self) -> dict[str, np.ndarray]:
        """Array leaves by path."""
        return {path: np.asarray(leaf) for path, leaf in self._leaves if hasattr(leaf, "shape")}

    def leaves(self) -> frozenset[str]:
        """Paths of every parameter and buffer."""
        return frozenset(path for path, leaf in self._leaves if hasattr(leaf, "shape"))

    def parameters(self) -> frozenset[str]:
        """Paths of the floating leaves."""
        return frozenset(
            path for path, leaf in self._leaves if hasattr(leaf, "shape") and jnp.issubdtype(leaf.dtype, jnp.inexact)
        )

    def target(self) -> Any:
        """The tree itself; an empty one for a function without parameters."""
        return {} if self.model is None else self.model

    def apply(self, leaves: Leaves, inputs: tuple[Any, ...], *, train: bool, key: Any) -> tuple[Any, Leaves]:
        """Puts the leaves back into the tree and calls it; such models have no buffers of their own."""
        filled = [leaves.get(path, leaf) for path, leaf in self._leaves]
        tree = jax.tree_util.tree_unflatten(self._structure, filled)
        result = self._call_tree(tree, inputs, train, key)
        trained = self.parameters()
        return result, {path: leaves[path] for path in leaves if path not in trained}


def of_function(function: Callable[..., Any], params: Any, call: Call) -> FunctionProgram:
    """A function of the inputs, or of `(params, *inputs)` where parameters are given."""

    def call_tree(tree: Any, inputs: tuple[Any, ...], train: bool, key: Any) -> Any:
        return function(*inputs) if params is None else function(tree, *inputs)

    return FunctionProgram("function", params, {} if params is None else params, call, call_tree)


def of_equinox(model: Any, call: Call) -> FunctionProgram:
    """An Equinox module, called with the inputs as they are: vectorise one that takes single examples first."""
    import equinox

    def call_tree(tree: Any, inputs: tuple[Any, ...], train: bool, key: Any) -> Any:
        return call.of(equinox.nn.inference_mode(tree, not train))(*inputs)

    return FunctionProgram("equinox", model, model, call, call_tree)


def of_haiku(transformed: Any, params: Any, inputs: tuple[Any, ...], call: Call) -> FunctionProgram:
    """A `hk.transform`ed function with its parameters, initialised from the inputs where none are given."""
    tree = transformed.init(jax.random.key(0), *inputs) if params is None else params

    def call_tree(tree: Any, inputs: tuple[Any, ...], train: bool, key: Any) -> Any:
        return transformed.apply(tree, key, *inputs)

    return FunctionProgram("haiku", (transformed, inputs), tree, call, call_tree)


def _path(keys: tuple[Any, ...]) -> str:
    """A key path as `a/b/0`."""
    return jax.tree_util.keystr(keys, simple=True, separator="/")
