"""Binary spherical codes, Flax NNX."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from models.networks.modules_nnx import Buffer


def normalize(x: Array, eps: float = 1e-12) -> Array:
    """Return x / max(‖x‖₂, eps) over the last axis; the gradient is finite at 0."""
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    zero = square == 0  # the root's gradient is infinite there
    norm = jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, square)))
    return x / jnp.maximum(norm, eps)


class BSQCodebook(nnx.Module):
    """The corners of a cube, projected to the unit sphere and numbered by their bits.

    Args:
        codebook_dim: Number of bits d.

    Raises:
        ValueError: There are more bits than an integer holds.

    Example:
        >>> BSQCodebook(2).indices_to_codes(jnp.array([2, 3])).round(4)
        Array([[ 0.7071, -0.7071],
               [ 0.7071,  0.7071]], dtype=float32)

    References:
        Zhao et al., 2024: Image and video tokenization with binary spherical quantization.
    """

    def __init__(self, codebook_dim: int) -> None:
        integer = jnp.result_type(int)
        if codebook_dim >= jnp.iinfo(integer).bits:
            raise ValueError(f"BSQCodebook: {codebook_dim} bits do not fit into {integer}")
        self.codebook_dim = codebook_dim
        self.mask = Buffer(jnp.asarray(2 ** np.arange(codebook_dim - 1, -1, -1), integer))  # high bit first

    @property
    def codebook(self) -> Array:
        """All 2^d codes, made at each access."""
        return self.indices_to_codes(jnp.arange(2**self.codebook_dim)[:, None])

    @staticmethod
    def bits_to_codes(bits: Array) -> Array:
        """Return unit vectors with the signs of bits: normalised 2·bits − 1, over the last axis."""
        return normalize(bits * 2 - 1)

    def indices_to_codes(self, indices: Array) -> Array:
        """Return the codes of indices.

        Args:
            indices: (*, 1) or (*), integer.

        Returns:
            (*, d), float32.
        """
        indices = indices.squeeze(-1) if indices.shape[-1:] == (1,) else indices
        return self.bits_to_codes(((indices[..., None] & self.mask[...]) != 0).astype(jnp.float32))
