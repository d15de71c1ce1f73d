"""Carries a torch state into an NNX twin and the twin's gradients and buffers back to torch's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax import numpy as jnp

import weight_bridge

Arrays = dict[str, np.ndarray]


def carry(module: nnx.Module, state: Arrays, aliases: Mapping[str, str]) -> weight_bridge.Plan:
    """Fill an abstract module from a torch state, and return how; random streams get a fixed key.

    Every key has to be used and every variable filled, or the plan is refused.
    """
    plan = weight_bridge.plan(state, module, drop=tuple(aliases))
    weight_bridge.load(module, state, drop=tuple(aliases))
    streams = nnx.state(module, nnx.RngState)
    fixed = jax.tree.map(_seeded, streams, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))
    nnx.update(module, fixed)
    return plan


def _seeded(variable: nnx.Variable) -> nnx.Variable:
    seeds = isinstance(variable, nnx.RngKey)
    return variable.replace(jax.random.key(0) if seeds else jnp.zeros(variable.shape, jnp.uint32))


def by_path(state: Any) -> Arrays:
    """Return the arrays of an NNX state by their paths."""
    return {"/".join(map(str, path)): np.asarray(value[...]) for path, value in nnx.to_flat_state(state)}
