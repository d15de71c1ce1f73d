"""Candidates built without their initial values, which are replaced anyway: no initialiser is compiled or run."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any


def constructed(build: Callable[[], Any]) -> Any:
    """What `build` returns; an NNX module with shapes in place of its variables' values, where that loses nothing.

    Args:
      build: returns a candidate. It may be called twice.

    Returns:
      The candidate; its random streams have the keys that they would have had. It has values where it is no NNX
      module, where building it needs values, or where it holds arrays outside its variables, which no state dict
      could replace.
    """
    if importlib.util.find_spec("flax") is None:
        return build()
    import jax
    from flax import nnx

    found: list[Any] = []

    def once() -> Any:
        found.append(build())
        if not isinstance(found[-1], nnx.Module):
            raise _NoModule
        return found[-1]

    try:
        with jax.enable_x64(True):
            abstract = nnx.eval_shape(once)
    except _NoModule:
        return found[-1]
    except (jax.errors.JAXTypeError, TypeError):
        return build()
    if not all(isinstance(leaf, nnx.Variable) for _, leaf in nnx.to_flat_state(nnx.state(abstract))):
        return build()
    if jax.tree.leaves(nnx.state(abstract, nnx.RngState)):
        with jax.enable_x64(True):  # what is not asked for is not computed: no initialiser runs
            nnx.update(abstract, jax.jit(lambda: nnx.state(build(), nnx.RngState))())
    return abstract


class _NoModule(Exception):
    """The candidate is of another library."""
