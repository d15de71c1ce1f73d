"""Adaptive average pooling, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from flax import nnx

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float


def _bins(n: int, m: int) -> np.ndarray:
    """Return the (m, n) matrix that averages n cells in m bins, from ⌊i·n/m⌋ to ⌈(i + 1)·n/m⌉ − 1."""
    cells, starts = np.arange(n), np.arange(m) * n // m
    ends = -(-(np.arange(m) + 1) * n // m)
    inside = (cells >= starts[:, None]) & (cells < ends[:, None])
    return inside / inside.sum(1, keepdims=True)


class AdaptiveAvgPool2d(nnx.Module):
    """Averages images to a given size, over bins that overlap where the sizes do not divide.

    Args:
        output_size: (height, width) of the result.

    Example:
        >>> AdaptiveAvgPool2d((1, 2))(jnp.arange(6.0).reshape(1, 1, 2, 3))
        Array([[[[2., 3.]]]], dtype=float32)
    """

    def __init__(self, output_size: tuple[int, int]) -> None:
        self.output_size = output_size

    def __call__(self, x: Float[Array, "B C H W"]) -> Float[Array, "B C *output_size"]:
        rows = jnp.asarray(_bins(x.shape[2], self.output_size[0]), x.dtype)
        columns = jnp.asarray(_bins(x.shape[3], self.output_size[1]), x.dtype)
        return jnp.einsum("ih,bchw,jw->bcij", rows, x, columns)
