"""What every NNX module needs: random streams, variable kinds, containers, dropout and torch's first weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from collections.abc import Callable

    from jax import Array
    from jaxtyping import Float

RngsLike: TypeAlias = nnx.Rngs | jax.Array | int


class Buffer(nnx.Variable):
    """A stored array that is not learned, such as a positional table."""


def as_rngs(rngs: RngsLike) -> nnx.Rngs:
    """Turn what users pass as `rngs` into `nnx.Rngs`.

    Args:
        rngs: An `nnx.Rngs` (returned as it is), a typed key, a legacy uint32[2] key, or an int.

    Returns:
        The streams.

    Example:
        >>> as_rngs(jax.random.PRNGKey(0)).params().shape
        ()
    """
    return rngs if isinstance(rngs, nnx.Rngs) else nnx.Rngs(rngs)


def default_float() -> Any:
    """Return the dtype that new parameters get: float64 where x64 is enabled, else float32."""
    return jnp.result_type(float)


def uniform(fan_in: int) -> Callable[..., Array]:
    """Return torch's initialiser of linear and convolutional layers: uniform in ±1/√fan_in.

    Args:
        fan_in: Number of inputs of one output.
    """
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0

    def init(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Identity(nnx.Module):
    """Returns its input."""

    def __call__(self, x: Array) -> Array:
        return x


class Flatten(nnx.Module):
    """Flattens all axes but the first, in their own order."""

    def __call__(self, x: Float[Array, "B C H W"]) -> Float[Array, "B C*H*W"]:
        return x.reshape(x.shape[0], -1)


class Sequential(nnx.List):
    """Modules called one after the other; each sits under its index, as in torch.

    Example:
        >>> Sequential([Flatten(), Identity()])(jnp.ones((2, 3, 5))).shape
        (2, 15)
    """

    def __call__(self, x: Array) -> Array:
        for module in self:
            x = module(x)
        return x


def dropout(rate: float, rngs: nnx.Rngs) -> nnx.Module:
    """Build a dropout layer, or nothing for the rate 0.

    Args:
        rate: Probability of dropping an element.
        rngs: Streams; it draws from `dropout`, else from the default one.

    Raises:
        ValueError: The rate is no probability.
    """
    if rate > 1:
        raise ValueError(f"dropout: the rate must lie between 0 and 1, got {rate}")
    return nnx.Dropout(rate, rngs=rngs) if rate > 0 else Identity()
