"""Expected pixel coordinates, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

from models.networks.softmax_nnx import softmax

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float

    from models.networks.config import SpatialSoftmaxConfig
    from models.networks.modules_nnx import RngsLike


class SpatialSoftmax(nnx.Module):
    """Coordinates in [−1, 1] of where each channel is large, x first.

    Args:
        cfg: Temperature, and what weighs the pixels: the softmax, the argmax, or the softmax with the identity
            added to its gradient on the logits.
        rngs: Ignored; there is nothing random.

    Raises:
        AssertionError: The temperature is not positive.
        ValueError: On a call, the input has not four axes.

    Example:
        >>> from models.networks import SpatialSoftmaxConfig
        >>> SpatialSoftmax(SpatialSoftmaxConfig())(jnp.eye(3).reshape(1, 1, 3, 3) * 100)
        Array([[[0., 0.]]], dtype=float32)

    References:
        Finn et al., 2016: Deep spatial autoencoders for visuomotor learning.
    """

    def __init__(self, cfg: SpatialSoftmaxConfig, *, rngs: RngsLike | None = None) -> None:
        assert cfg.temperature > 0, f"SpatialSoftmax: the temperature must be positive, got {cfg.temperature}"
        self.temperature = cfg.temperature
        self.is_argmax = cfg.is_argmax
        self.is_straight_through = cfg.is_straight_through

    def __call__(self, x: Float[Array, "B C H W"]) -> Float[Array, "B C 2"]:
        if x.ndim != 4:
            raise ValueError(f"SpatialSoftmax: expected (B, C, H, W), got shape {x.shape}")
        H, W = x.shape[2:]
        logits = x.reshape(*x.shape[:2], H * W) / self.temperature
        weights = softmax(logits)
        if self.is_argmax:
            top = jax.nn.one_hot(jnp.argmax(logits, -1), H * W, dtype=x.dtype)
            weights = (top + weights) - jax.lax.stop_gradient(weights)
        elif self.is_straight_through:
            weights = (weights + logits) - jax.lax.stop_gradient(logits)
        weights = weights.reshape(x.shape)
        across = jnp.linspace(-1, 1, W, dtype=x.dtype)
        down = jnp.linspace(-1, 1, H, dtype=x.dtype)
        return jnp.stack([(weights.sum(2) * across).sum(-1), (weights.sum(3) * down).sum(-1)], -1)
