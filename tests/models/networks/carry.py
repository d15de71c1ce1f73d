"""Carries a torch state into an NNX twin and arrays of the twin back to torch's names."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from flax import nnx
from jax import numpy as jnp

_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def torch_name(path: tuple[Any, ...]) -> str:
    """Return the torch key of an NNX path: the same, but for the leaf's name."""
    *parents, leaf = map(str, path)
    return ".".join([*parents, _LEAVES.get(leaf, leaf)])


def _owner(module: nnx.Module, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        module = module[key] if isinstance(key, int) else getattr(module, key)
    return module


def _to_flax(owner: Any, leaf: str, array: np.ndarray) -> np.ndarray:
    if leaf != "kernel":
        return array
    if isinstance(owner, nnx.Linear):
        return array.T
    axes = tuple(range(2, array.ndim))
    if isinstance(owner, nnx.ConvTranspose):
        return np.flip(array, axes).transpose(*axes, 0, 1)
    return array.transpose(*axes, 1, 0)


def _to_torch(owner: Any, leaf: str, array: np.ndarray) -> np.ndarray:
    if leaf != "kernel":
        return array
    if isinstance(owner, nnx.Linear):
        return array.T
    n = array.ndim - 2
    if isinstance(owner, nnx.ConvTranspose):
        return np.flip(array, tuple(range(n))).transpose(n, n + 1, *range(n))
    return array.transpose(n + 1, n, *range(n))


def carry(module: nnx.Module, state: dict[str, np.ndarray], aliases: dict[str, str]) -> None:
    """Fill an abstract module from a torch state; every key and every variable has to be used exactly once.

    Random streams get a fixed key.
    """
    left = {name for name in state if name not in aliases}
    for path, variable in nnx.to_flat_state(nnx.state(module, nnx.Not(nnx.RngState))):
        name = torch_name(path)
        left.remove(name)
        array = _to_flax(_owner(module, path), str(path[-1]), state[name])
        assert variable.shape == array.shape, f"{name}: expected {variable.shape}, got {array.shape}"
        getattr(_owner(module, path), str(path[-1])).set_value(jnp.asarray(array))
    assert not left, f"nothing takes {sorted(left)}"
    for path, variable in nnx.to_flat_state(nnx.state(module, nnx.RngState)):
        value = jax.random.key(0) if isinstance(variable, nnx.RngKey) else jnp.zeros(variable.shape, jnp.uint32)
        getattr(_owner(module, path), str(path[-1])).set_value(value)


def carried_back(module: nnx.Module, state: Any, aliases: dict[str, str]) -> dict[str, np.ndarray]:
    """Return the arrays of an NNX state (values or gradients) under torch's names and in torch's layout."""
    return {
        torch_name(path): _to_torch(_owner(module, path), str(path[-1]), np.asarray(variable[...]))
        for path, variable in nnx.to_flat_state(state)
    }
