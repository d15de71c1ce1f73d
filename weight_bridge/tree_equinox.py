"""Equinox: leaves and layers from a module's fields; what a layer keeps in an `equinox.nn.State` is a leaf too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import equinox as eqx
import jax

from weight_bridge._dtypes import dtype_name
from weight_bridge._errors import ConversionError
from weight_bridge.spec import Array, Spec
from weight_bridge.structure import Layer, Leaf, Target, library_kind, simple_options
from weight_bridge.tree_jax import device_array

LIBRARIES = {"equinox.nn": "equinox"}
Keys = tuple[Any, ...]


def describe(model: Any, origin: str) -> Target:
    """Returns the target of an Equinox module, or of `(module, State)`; see `weight_bridge.tree.Library`."""
    flat = dict(_arrays(model))
    leaves = tuple(_leaf(path, *found) for path, found in flat.items())
    module = model[0] if isinstance(model, tuple) else model
    layers = {tuple(map(str, path)): _layer(value) for path, value in _modules((), module)}

    def assemble(arrays: Mapping[str, Array]) -> Any:
        return _replaced(model, {path: device_array(arrays[path]) for path in flat if path in arrays})

    return Target(origin, leaves, layers, assemble)


def take_apart(model: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Returns the arrays, and the way back from their shapes; see `weight_bridge.tree_jax.trace`."""
    arrays, rest = eqx.partition(model, _is_array)
    return arrays, lambda shapes: eqx.combine(shapes, rest)


def fill(model: Any, arrays: Any) -> Any:
    """Returns the module that was assembled; a leaf left without an array is refused."""
    del model
    if left := [path for path, (_, array, _) in _arrays(arrays) if isinstance(array, jax.ShapeDtypeStruct)]:
        raise ConversionError(
            "the module would keep shapes in place of arrays; build it with values to allow that", left
        )
    return arrays


def _arrays(model: Any) -> Iterator[tuple[str, tuple[Keys, Any, bool]]]:
    """Path → keys, array, whether it is state; an entry of a `State` stands at its index's place in the module."""
    module, state = model if isinstance(model, tuple) else (model, None)
    for keys, node in jax.tree_util.tree_flatten_with_path(module, is_leaf=_is_index)[0]:
        place = tuple(map(_key, keys))
        if _is_index(node):
            entry = node.init if state is None else _entries(state)[node.marker]
            for number, array in enumerate(jax.tree.leaves(entry)):
                if _is_array(array):
                    yield "/".join((*place, str(number))), ((*place, number), array, True)
        elif _is_array(node):
            yield "/".join(place), (place, node, False)


def _replaced(model: Any, arrays: Mapping[str, Any]) -> Any:
    """The model with arrays in place of those at their paths."""
    module, state = model if isinstance(model, tuple) else (model, None)
    entries = {} if state is None else _entries(state)

    def entry(place: str, value: Any) -> Any:
        kept, structure = jax.tree_util.tree_flatten(value)
        return jax.tree_util.tree_unflatten(
            structure, [arrays.get(f"{place}/{number}", array) for number, array in enumerate(kept)]
        )

    def node(keys: Any, value: Any) -> Any:
        place = "/".join(map(_key, keys))
        if not _is_index(value):
            return arrays.get(place, value)
        if state is None:
            return eqx.tree_at(lambda index: index.init, value, entry(place, value.init))
        entries[value.marker] = entry(place, entries[value.marker])
        return value

    module = jax.tree_util.tree_map_with_path(node, module, is_leaf=_is_index)
    if state is None:
        return module
    _, structure = jax.tree_util.tree_flatten(state)
    return module, jax.tree_util.tree_unflatten(structure, jax.tree.leaves(tuple(entries.values())))


def _entries(state: Any) -> dict[Any, Any]:
    values, markers = state.tree_flatten()
    return dict(zip(markers, values, strict=True))


def _is_index(value: Any) -> bool:
    return isinstance(value, eqx.nn.StateIndex)


def _is_array(value: Any) -> bool:
    """Whether a value is an array that a checkpoint may hold: no random key."""
    array = isinstance(value, jax.Array | jax.ShapeDtypeStruct)
    return array and not jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)


def _key(key: Any) -> str:
    """One step of a key path as text: an attribute's name, a list's index, a dict's key."""
    for attribute in ("name", "idx", "key"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _leaf(path: str, keys: Keys, array: Any, buffer: bool) -> Leaf:
    spec = Spec(tuple(array.shape), dtype_name(array.dtype))
    *owner, label = map(str, keys)
    return Leaf(path, spec, tuple(owner), label, buffer=buffer)


def _modules(path: Keys, value: Any) -> Iterator[tuple[Keys, Any]]:
    """Every module by its path; what an index of a `State` starts from is none."""
    if isinstance(value, eqx.Module) and not _is_index(value):
        yield path, value
    for key, child in _children(value):
        yield from _modules((*path, key), child)


def _children(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, dict):
        return list(value.items())
    if is_dataclass(value) and not isinstance(value, type) and not _is_index(value):
        held: dict[str, Any] = vars(value)  # a function that the class holds would be bound to the module, and so on
        return [(field.name, held.get(field.name)) for field in fields(value)]
    return []


def _layer(module: Any) -> Layer:
    return Layer(library_kind(type(module), LIBRARIES), simple_options(vars(module)))
