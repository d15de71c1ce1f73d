"""Soft one-hot codes of numbers, and rescaling, JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

if TYPE_CHECKING:
    from jax import Array

    from models.networks.config import SoftmaxTransConfig


class SoftmaxTransformation:
    """Spreads each number over a grid of points by a Gaussian kernel, and back.

    Args:
        cfg: The grid and the kernel.

    Example:
        >>> from models.networks import SoftmaxTransConfig
        >>> code = SoftmaxTransformation(SoftmaxTransConfig(vector=3, sigma=0.1))
        >>> code.inverse(code.transform(jnp.array([0.0])))
        Array([0.], dtype=float32)
    """

    def __init__(self, cfg: SoftmaxTransConfig) -> None:
        self.vector = cfg.vector
        self.sigma = cfg.sigma
        self.n_ignore = cfg.n_ignore
        self.max = cfg.max
        self.min = cfg.min

    def __call__(self, x: Array) -> Array:
        return self.transform(x)

    def get_transformed_dim(self, dim: int) -> int:
        """Return the width of the code of `dim` numbers."""
        return (dim - self.n_ignore) * self.vector + self.n_ignore

    def transform(self, x: Array) -> Array:
        """Code numbers.

        Args:
            x: (*, D), float; the last `n_ignore` of them pass through.

        Returns:
            (*, `get_transformed_dim(D)`): the grid of the first number, that of the second, …
        """
        coded, ignored = self._split(x)
        weights = jnp.exp(-((coded[..., None] - self._grid(x)) ** 2) / self.sigma)
        weights = weights / (weights.sum(-1, keepdims=True) + 1e-8)
        return jnp.concatenate([weights.reshape(*x.shape[:-1], -1), ignored], axis=-1)

    def inverse(self, x: Array) -> Array:
        """Return the numbers (*, D) that codes (*, `get_transformed_dim(D)`) stand for: weighted grid points."""
        coded, ignored = self._split(x)
        numbers = (coded.reshape(*x.shape[:-1], -1, self.vector) * self._grid(x)).sum(-1)
        return jnp.concatenate([numbers, ignored], axis=-1)

    def _grid(self, x: Array) -> Array:
        return jnp.linspace(self.min, self.max, self.vector, dtype=x.dtype)

    def _split(self, x: Array) -> tuple[Array, Array]:
        width = x.shape[-1] - self.n_ignore
        return x[..., :width], x[..., width:]


class MinMaxNormalize:
    """Maps [old_min, old_max] linearly to [min_val, max_val].

    Args:
        min_val: Image of `old_min`.
        max_val: Image of `old_max`.
        old_min: Start of the old range.
        old_max: End of the old range.

    Raises:
        ZeroDivisionError: The old range is empty.

    Example:
        >>> MinMaxNormalize(-1.0, 1.0)(jnp.array([0.0, 1.0]))
        Array([-1.,  1.], dtype=float32)
    """

    def __init__(self, min_val: float, max_val: float, old_min: float = 0.0, old_max: float = 1.0) -> None:
        self.scale = (max_val - min_val) / (old_max - old_min)
        self.shift = min_val - old_min * self.scale

    def __call__(self, x: Array) -> Array:
        return x * self.scale + self.shift
