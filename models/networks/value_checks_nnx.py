"""Which arrays can have their values checked: concrete ones, not the tracers of jit, grad or vmap."""

from __future__ import annotations

from typing import Any

from jax.core import Tracer


def is_concrete(*arrays: Any) -> bool:
    """Say whether all of these hold values that Python may look at now.

    Example:
        >>> import jax
        >>> is_concrete(jax.numpy.ones(3)), jax.jit(lambda x: x * is_concrete(x))(2.0)
        (True, Array(0., dtype=float32, weak_type=True))
    """
    return not any(isinstance(array, Tracer) for array in arrays)
