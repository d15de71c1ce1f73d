"""Candidates built without their initial values, which are replaced anyway: no initialiser is compiled or run."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any


def constructed(build: Callable[[], Any]) -> Any:
    """What `build` returns; an NNX module with shapes in place of its variables' values, where that loses nothing.

    Args:
      build: returns a candidate. It is called twice where it is no NNX module, and may be otherwise.

    Returns:
      The candidate; its random streams have the keys that they would have had. It has values where it is no NNX
      module, where building it needs values, or where it holds arrays outside its variables, be it in a function,
      which no state dict could replace.
    """
    if importlib.util.find_spec("flax") is None:
        return build()
    import jax
    from flax import nnx
    from jax.core import Tracer

    def once() -> Any:
        made = build()
        if not isinstance(made, nnx.Module):
            raise _NoModule
        return made

    try:
        with jax.enable_x64(True):
            abstract = nnx.eval_shape(once)
    except (_NoModule, jax.errors.JAXTypeError, TypeError):
        return build()
    outside = not all(isinstance(leaf, nnx.Variable) for _, leaf in nnx.to_flat_state(nnx.state(abstract)))
    if outside or any(isinstance(value, Tracer) for value in _held(abstract)):
        return build()
    if jax.tree.leaves(nnx.state(abstract, nnx.RngState)):
        with jax.enable_x64(True):  # what is not asked for is not computed: no initialiser runs
            nnx.update(abstract, jax.jit(lambda: nnx.state(build(), nnx.RngState))())
    return abstract


def _held(model: Any) -> Iterator[Any]:
    """All that a model holds, be it in a container or enclosed by a function."""
    seen, left = set[int](), [model]
    while left:
        value = left.pop()
        if id(value) not in seen:
            seen.add(id(value))
            yield value
            left += _parts(value)


def _parts(value: Any) -> list[Any]:
    """What a value holds directly."""
    if isinstance(value, FunctionType):
        filled = (cell for cell in value.__closure__ or () if cell != CellType())
        return [*(cell.cell_contents for cell in filled), *(value.__defaults__ or ())]
    if isinstance(value, MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    return [] if isinstance(value, type | ModuleType) else list(getattr(value, "__dict__", {}).values())


class _NoModule(Exception):
    """The candidate is of another library."""
