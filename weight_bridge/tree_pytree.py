"""Any other pytree of arrays or shapes: paths from its keys, no layer types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from weight_bridge._dtypes import dtype_name
from weight_bridge._errors import UsageError
from weight_bridge.spec import Array, Spec
from weight_bridge.structure import Target
from weight_bridge.tree import leaf_at
from weight_bridge.tree_jax import device_array


def describe(model: Any, origin: str) -> Target:
    """Returns the target of a pytree; see `weight_bridge.tree.Library`."""
    flat, structure = jax.tree_util.tree_flatten_with_path(model)
    paths = ["/".join(_key(key) for key in keys) for keys, _ in flat]
    strange = [
        f"{path or 'the whole'}: of type {type(leaf).__name__}"
        for path, (_, leaf) in zip(paths, flat, strict=True)
        if not (path and hasattr(leaf, "shape") and hasattr(leaf, "dtype"))
    ]
    if strange or not flat:
        expected = "an NNX or Equinox module, (linen module, inputs), (Haiku transformed, inputs), or a tree of arrays"
        raise UsageError(f"target {origin}: expected {expected}", strange)
    leaves = tuple(
        leaf_at(path, Spec(tuple(leaf.shape), dtype_name(leaf.dtype)))
        for path, (_, leaf) in zip(paths, flat, strict=True)
    )

    def assemble(arrays: Mapping[str, Array]) -> Any:
        filled = [
            device_array(arrays[path]) if path in arrays else leaf for path, (_, leaf) in zip(paths, flat, strict=True)
        ]
        return jax.tree_util.tree_unflatten(structure, filled)

    return Target(origin, leaves, {}, assemble)


def take_apart(model: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Returns the arrays, and the way back from their shapes; see `weight_bridge.tree_jax.trace`."""
    flat, structure = jax.tree_util.tree_flatten(model)
    arrays = {index: leaf for index, leaf in enumerate(flat) if isinstance(leaf, jax.Array)}
    return arrays, lambda shapes: jax.tree_util.tree_unflatten(
        structure, [shapes.get(i, leaf) for i, leaf in enumerate(flat)]
    )


def _key(key: Any) -> str:
    """One step of a key path as text: a dict's key, a list's index, an attribute's name."""
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)
