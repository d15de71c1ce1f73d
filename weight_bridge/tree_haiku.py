"""Haiku: leaves and layers from an abstract `init` with every method call observed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import haiku as hk
import jax

from weight_bridge._dtypes import dtype_name
from weight_bridge.spec import Array, Spec
from weight_bridge.structure import Layer, Leaf, Target, library_kind, simple_options
from weight_bridge.tree_jax import device_array, shapes

LIBRARIES = {"haiku": "haiku"}


def describe(model: Any, origin: str) -> Target:
    """Returns the target of `(transformed, example_inputs)`; see `weight_bridge.tree.Library`.

    Example inputs are one array, a tuple of positional arguments, or a dict of keyword arguments; arguments that are
    no arrays (`is_training`) stay as they are.
    """
    transformed, inputs = model
    layers: dict[tuple[str, ...], Layer] = {}

    def observe(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        result = call(*args, **kwargs)
        layers[_owner(context.module.module_name)] = _layer(context.module)
        return result

    with hk.intercept_methods(observe):
        made = _abstract_init(transformed, inputs)
    stateful = isinstance(transformed, hk.TransformedWithState)
    collections = {"params": made[0], "state": made[1]} if stateful else {"params": made}
    keys = {
        f"{collection}/{module}/{label}": (collection, module, label, value)
        for collection, modules in collections.items()
        for module, entries in modules.items()
        for label, value in entries.items()
    }

    def assemble(arrays: Mapping[str, Array]) -> Any:
        filled: dict[str, dict[str, dict[str, Any]]] = {collection: {} for collection in collections}
        for path, (collection, module, label, _) in keys.items():
            if path in arrays:
                filled[collection].setdefault(module, {})[label] = device_array(arrays[path])
        return (filled["params"], filled["state"]) if stateful else filled["params"]

    leaves = tuple(_leaf(path, *found) for path, found in keys.items())
    return Target(origin, leaves, layers, assemble)


def take_apart(model: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Returns no arrays, and the way back: the pair with its inputs' shapes; see `weight_bridge.tree_jax.trace`."""
    transformed, inputs = model
    flat, structure = jax.tree_util.tree_flatten(inputs)
    flat = [shapes(leaf) for leaf in flat]
    return (), lambda _: (transformed, jax.tree_util.tree_unflatten(structure, flat))


def _abstract_init(transformed: Any, inputs: Any) -> Any:
    """The variables' shapes; plain Python arguments stay as they are, arrays become tracers."""
    positional = inputs if isinstance(inputs, tuple) else (inputs,)
    args, kwargs = ((), inputs) if isinstance(inputs, dict) else (positional, {})
    flat, structure = jax.tree_util.tree_flatten((args, kwargs))
    arrays = {index: shapes(leaf) for index, leaf in enumerate(flat) if hasattr(leaf, "dtype")}

    def init(key: Any, given: dict[int, Any]) -> Any:
        args, kwargs = jax.tree_util.tree_unflatten(structure, [given.get(i, leaf) for i, leaf in enumerate(flat)])
        return transformed.init(key, *args, **kwargs)

    return jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)), arrays)


def _owner(module: str) -> tuple[str, ...]:
    """The modules that a name goes through; `~` only says that one was made in a constructor."""
    return tuple(part for part in module.split("/") if part != "~")


def _leaf(path: str, collection: str, module: str, label: str, value: Any) -> Leaf:
    spec = Spec(tuple(value.shape), dtype_name(value.dtype))
    return Leaf(path, spec, _owner(module), label, buffer=collection == "state")


def _layer(module: Any) -> Layer:
    options = simple_options(vars(module))
    options.pop("module_name", None)  # like the `name` beside it, it tells no layer of one kind from another
    return Layer(library_kind(type(module), LIBRARIES), options)
