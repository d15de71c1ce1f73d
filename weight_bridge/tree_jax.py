"""What all JAX libraries share: building under tracing, and arrays that keep their dtype."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from weight_bridge._dtypes import numpy_dtype
from weight_bridge.blocks import Region
from weight_bridge.spec import Array, Spec


def trace(build: Callable[[], Any], library: Callable[[Any], str | None]) -> Any:
    """Returns what `build` returns with every array replaced by its shape and dtype; no array is ever made.

    Args:
      build: returns a model, a tuple with example inputs, or a pytree.
      library: names the `tree_*` module that can take the result apart.

    Returns:
      The result, abstract.
    """
    rebuild: list[Callable[[Any], Any]] = []

    def parts() -> Any:
        built = build()
        name = library(built) or "tree_pytree"
        arrays, back = importlib.import_module(f"weight_bridge.{name}").take_apart(built)
        rebuild.append(back)
        return arrays

    arrays = jax.eval_shape(parts)
    return rebuild[0](arrays)


def device_array(array: Array | jax.Array) -> jax.Array:
    """Returns a JAX array of its own memory and the same dtype, 64-bit ones too, whatever the default.

    One that is on its devices already stays as it is.
    """
    if isinstance(array, jax.Array):
        return array
    with jax.enable_x64(True):
        return jnp.array(array, copy=True)


def placed_array(spec: Spec, sharding: Any, read: Callable[[Region], Array]) -> jax.Array:
    """Returns an array on the devices of a sharding, of which this process reads what its own devices hold.

    Args:
      spec: shape and dtype of the whole.
      sharding: a `jax.sharding.Sharding`.
      read: returns the elements in a region, a slice with start and stop for each axis.
    """

    def part(index: tuple[slice, ...] | None) -> Array:
        cuts = index or ()
        region = tuple(slice(*cut.indices(extent)[:2]) for cut, extent in zip(cuts, spec.shape, strict=True))
        return np.array(read(region), numpy_dtype(spec.dtype), order="C")  # a copy: JAX may keep the memory it is given

    with jax.enable_x64(True):
        return jax.make_array_from_callback(spec.shape, sharding, part, dtype=numpy_dtype(spec.dtype))


def shapes(tree: Any) -> Any:
    """Returns a tree with arrays as `ShapeDtypeStruct`s and everything else as it is."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if hasattr(leaf, "dtype") else leaf, tree
    )
