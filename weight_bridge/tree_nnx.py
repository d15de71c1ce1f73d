"""Flax NNX: leaves and layers from the module graph, arrays back into the module's state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from flax import nnx

from weight_bridge._dtypes import dtype_name
from weight_bridge._errors import ConversionError, TargetError
from weight_bridge.spec import Array, Spec
from weight_bridge.structure import Layer, Leaf, Target, library_kind, simple_options
from weight_bridge.tree_jax import device_array

LIBRARIES = {"flax.nnx.nn": "nnx"}
# Variables that no checkpoint holds: random streams, decoding caches, what a forward pass leaves behind.
TRANSIENT = (nnx.RngState, nnx.Cache, nnx.Intermediate, nnx.Perturbation)

NO_LENGTHS = (
    "nnx.WeightNorm keeps its lengths in arrays that are no variables, so that no state fills them; "
    "build the plain layer, which takes the computed weight"
)


def describe(model: Any, origin: str) -> Target:
    """Returns the target of an NNX module, live or abstract; see `weight_bridge.tree.Library`."""
    places = dict(_walk(model))
    state = nnx.to_flat_state(nnx.state(model))
    kept = {_path(path): (path, variable) for path, variable in state if not isinstance(variable, TRANSIENT)}
    names: dict[int, list[str]] = {}
    for path, value in places.items():
        if isinstance(value, nnx.Variable):
            names.setdefault(id(value), []).append(_path(path))
    aliases = {path: tuple(other for other in paths if other != path) for paths in names.values() for path in paths}
    leaves = tuple(_leaf(path, keys, variable, aliases.get(path, ())) for path, (keys, variable) in kept.items())
    layers = {tuple(map(str, path)): _layer(value) for path, value in places.items() if isinstance(value, nnx.Module)}
    if wrapped := ["/".join(path) or "the model" for path, layer in layers.items() if layer.kind == "nnx.WeightNorm"]:
        raise TargetError(f"{origin}: {NO_LENGTHS}", wrapped)

    def assemble(arrays: Mapping[str, Array]) -> nnx.State:
        filled = [
            (
                keys,
                variable.replace(device_array(arrays[path]))
                if isinstance(variable, nnx.Variable)
                else device_array(arrays[path]),
            )
            for path, (keys, variable) in kept.items()
            if path in arrays
        ]
        return nnx.from_flat_state(filled)

    return Target(origin, leaves, layers, assemble)


def take_apart(model: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Returns the state, and the way back from its shapes; see `weight_bridge.tree_jax.trace`."""
    graph, state = nnx.split(model)
    return state, lambda shapes: nnx.merge(graph, shapes)


def fill(model: Any, state: Any) -> Any:
    """Puts a state into a module, in place, and returns the module; a leaf left without an array is refused."""
    nnx.update(model, state)
    if left := unfilled(model):
        raise ConversionError(
            "the module would keep shapes in place of arrays; build it with values to allow that", left
        )
    return model


def unfilled(model: Any) -> tuple[str, ...]:
    """Returns the paths of leaves that hold a shape and no array: what merging an abstract state leaves unnoticed."""
    return tuple(
        _path(path)
        for path, variable in nnx.to_flat_state(nnx.state(model))
        if isinstance(_value(variable), jax.ShapeDtypeStruct) and not isinstance(variable, TRANSIENT)
    )


def _walk(model: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every module and variable by every path that leads to it, shared ones several times; cycles are cut."""
    stack: list[tuple[tuple[Any, ...], Any, frozenset[int]]] = [((), model, frozenset())]
    while stack:
        path, value, above = stack.pop()
        if id(value) in above:
            continue
        if isinstance(value, nnx.Variable | nnx.Module):
            yield path, value
        children = _children(value)
        stack.extend(((*path, key), child, above | {id(value)}) for key, child in reversed(children))


def _children(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, nnx.Variable | nnx.RngStream | nnx.Rngs):
        return []
    if isinstance(value, nnx.List | list | tuple):
        return list(enumerate(value))
    if isinstance(value, dict):
        return sorted(value.items(), key=lambda item: str(item[0]))
    if isinstance(value, nnx.Pytree):
        return [(name, child) for name, child in sorted(vars(value).items()) if not name.startswith("_pytree__")]
    return []


def _path(keys: tuple[Any, ...]) -> str:
    return "/".join(map(str, keys))


def _value(variable: Any) -> Any:
    return variable.get_value() if isinstance(variable, nnx.Variable) else variable


def _leaf(path: str, keys: tuple[Any, ...], variable: Any, aliases: tuple[str, ...]) -> Leaf:
    value = _value(variable)
    spec = Spec(tuple(value.shape), dtype_name(value.dtype))
    owner = tuple(map(str, keys[:-1]))
    return Leaf(path, spec, owner, str(keys[-1]), aliases, buffer=not isinstance(variable, nnx.Param))


def _layer(module: Any) -> Layer:
    return Layer(library_kind(type(module), LIBRARIES), simple_options(vars(module)))
