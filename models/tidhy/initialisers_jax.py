"""torch's initial values, which the Flax defaults differ from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
from jax.nn import initializers

if TYPE_CHECKING:
    from jax import Array
    from jax.nn.initializers import Initializer

# Flax's own Xavier normal is truncated; torch's is not.
xavier_normal = initializers.variance_scaling(1.0, "fan_avg", "normal")


def fan_in_uniform(fan_in: int) -> Initializer:
    """Uniform on ±1/√fan_in: torch's default for the weights and the biases of a linear layer.

    Args:
      fan_in: inputs of the layer, whatever the shape of what is drawn.

    Returns:
      The initialiser.

    Example:
      >>> fan_in_uniform(4)(jax.random.key(0), (3,)).shape
      (3,)
    """
    bound = 1 / math.sqrt(fan_in)

    def draw(key: Array, shape: Any, dtype: Any = float, out_sharding: Any = None) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw


def orthogonal_rows(key: Array, shape: tuple[int, ...], dtype: Any = float) -> Array:
    """(Semi-)orthogonal when all axes but the first are flattened into columns, as torch's `orthogonal_`."""
    columns = math.prod(shape[1:])
    return initializers.orthogonal()(key, (shape[0], columns), dtype).reshape(shape)
