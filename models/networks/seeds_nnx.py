"""Seeds for JAX."""

from __future__ import annotations

import random

import jax
import numpy as np
from jax import Array


def jax_fix_seed(seed: int = 42) -> Array:
    """Seed `random` and numpy, process-wide, and return a key: JAX itself keeps no random state.

    Args:
        seed: Any seed that numpy takes.

    Returns:
        `jax.random.PRNGKey(seed)`.

    Example:
        >>> jax_fix_seed(3)
        Array([0, 3], dtype=uint32)
    """
    random.seed(seed)
    np.random.seed(seed)
    return jax.random.PRNGKey(seed)
