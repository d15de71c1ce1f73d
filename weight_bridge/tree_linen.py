"""Flax linen: leaves and layers from an abstract `init` with every module call observed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import linen, traverse_util

from weight_bridge._dtypes import dtype_name
from weight_bridge.spec import Array, Spec
from weight_bridge.structure import Layer, Leaf, Target, library_kind, simple_options
from weight_bridge.tree_jax import device_array, shapes

LIBRARIES = {"flax.linen": "linen"}
TRANSIENT = frozenset({"intermediates", "cache", "losses", "perturbations"})
# Modes that a call may ask for; parameters do not depend on them.
EVALUATION = {"train": False, "training": False, "deterministic": True, "use_running_average": True}


def describe(model: Any, origin: str) -> Target:
    """Returns the target of `(module, example_inputs)`; see `weight_bridge.tree.Library`.

    Example inputs are one array, a tuple of positional arguments, or a dict of keyword arguments.
    """
    module, inputs = model
    layers: dict[tuple[str, ...], Layer] = {}

    def observe(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        layers[tuple(context.module.path)] = _layer(context.module)
        return call(*args, **kwargs)

    with linen.intercept_methods(observe):
        variables = _abstract_init(module, inputs)
    layers[()] = _layer(module)  # modules that are called unbound have no place of their own
    flat = traverse_util.flatten_dict(variables)
    leaves = tuple(_leaf(keys, _unboxed(value)) for keys, value in flat.items() if keys[0] not in TRANSIENT)
    places = {"/".join(keys): keys for keys in flat}

    def assemble(arrays: Mapping[str, Array]) -> dict[str, Any]:
        # by keys, not by paths: a key of `linen.WeightNorm` has slashes of its own
        return traverse_util.unflatten_dict({places[path]: device_array(array) for path, array in arrays.items()})

    return Target(origin, leaves, layers, assemble)


def take_apart(model: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Returns the example inputs' arrays, and the way back; see `weight_bridge.tree_jax.trace`."""
    module, inputs = model
    flat, structure = jax.tree_util.tree_flatten(inputs)
    flat = [shapes(leaf) for leaf in flat]
    return (), lambda _: (module, jax.tree_util.tree_unflatten(structure, flat))


def _abstract_init(module: Any, inputs: Any) -> Mapping[str, Any]:
    """The variables' shapes; plain Python arguments stay as they are, arrays become tracers."""
    args, kwargs = (
        ((), inputs) if isinstance(inputs, dict) else (inputs if isinstance(inputs, tuple) else (inputs,), {})
    )
    accepted = inspect.signature(type(module).__call__).parameters
    modes = {
        name: value
        for name, value in EVALUATION.items()
        if name in accepted and accepted[name].default is inspect.Parameter.empty and name not in kwargs
    }
    bound = set(list(accepted)[1 : 1 + len(args)])
    kwargs = {**kwargs, **{name: value for name, value in modes.items() if name not in bound}}
    flat, structure = jax.tree_util.tree_flatten((args, kwargs))
    arrays = {index: shapes(leaf) for index, leaf in enumerate(flat) if hasattr(leaf, "dtype")}

    def init(key: Any, given: dict[int, Any]) -> Any:
        args, kwargs = jax.tree_util.tree_unflatten(structure, [given.get(i, leaf) for i, leaf in enumerate(flat)])
        return module.init({"params": key, "dropout": key}, *args, **kwargs)

    return jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)), arrays)


def _leaf(keys: tuple[str, ...], value: Any) -> Leaf:
    spec = Spec(tuple(value.shape), dtype_name(value.dtype))
    return Leaf("/".join(keys), spec, tuple(keys[1:-1]), keys[-1], buffer=keys[0] != "params")


def _unboxed(value: Any) -> Any:
    """A leaf without the sharding annotation around it."""
    return value.unbox() if isinstance(value, linen.meta.AxisMetadata) else value


def _layer(module: Any) -> Layer:
    return Layer(library_kind(type(module), LIBRARIES), simple_options(vars(module)))
