"""A call with arguments of its own as an NNX module, so that a claim can be made on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flax import nnx

if TYPE_CHECKING:
    from jax import Array


class Calling(nnx.Module):
    """Calls a function of a module and the inputs.

    Args:
        module: What is called, or None.
        call: `call(module, *inputs)`.

    Example:
        >>> import jax.numpy as jnp
        >>> Calling(None, lambda module, x: x + 1)(jnp.zeros(2))
        Array([1., 1.], dtype=float32)
    """

    def __init__(self, module: nnx.Module | None, call: Callable[..., Any]) -> None:
        self.module = module
        self.call = call

    def __call__(self, *inputs: Array) -> Any:
        return self.call(self.module, *inputs)
