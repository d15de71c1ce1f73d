"""The balanced inner step of `grad_norm_inf`, JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from models.tidhy.losses_jax import l1, norm

if TYPE_CHECKING:
    from collections.abc import Callable

    from jax import Array

    from models.tidhy.config import TiDHyConfig


class Balance(NamedTuple):
    """Weights (3,) of the inference objectives, and their losses (3,) in the first iteration.

    The objectives are the spatial loss, and the temporal loss twice: once seen from r, once from r2.
    """

    weights: Array
    first_losses: Array


def initial_balance(like: Array) -> Balance:
    """A balance whose weights are 1 and whose first losses are yet unknown."""
    return Balance(jnp.ones(3, like.dtype), jnp.ones(3, like.dtype))


def balanced_gradients(
    losses_of: Callable[[Array, Array], tuple[Array, Array]],
    r: Array,
    r2: Array,
    balance: Balance,
    is_first: Array,
    config: TiDHyConfig,
) -> tuple[tuple[Array, Array], Balance]:
    """Gradients for r and r2 in one iteration, and the balance after it.

    They are those of the weighted losses plus those of the imbalance itself, which hold second derivatives of
    the losses: the original accumulates both in the same buffers.

    Args:
      losses_of: (r, r2) to the spatial loss and the temporal loss, scalars.
      r: (B, R) iterate.
      r2: (B, Q) iterate.
      balance: the balance that the iteration before left.
      is_first: () bool, whether this is the first iteration, where losses of 0 are replaced.
      config: the configuration.

    Returns:
      The gradients, (B, R) and (B, Q), and the next balance.

    References:
      Chen et al., GradNorm: gradient normalization for adaptive loss balancing, 2018.
    """

    def tasks(r: Array, r2: Array) -> Array:
        spatial, temporal = losses_of(r, r2)
        losses = jnp.stack([spatial, temporal, temporal])
        return jnp.where(is_first & (losses == 0), 1e-6, losses)

    def imbalance(weights: Array, r: Array, r2: Array) -> Array:
        losses, pull = jax.vjp(tasks, r, r2)
        one, two, three = jnp.diag(weights)
        norms = jnp.stack([norm(pull(one)[0]), norm(pull(two)[0]), norm(pull(three)[1])])
        progress = losses / jnp.where(is_first, losses, balance.first_losses)
        target = norms.mean() * (progress / progress.mean()) ** config.grad_alpha_inf
        return l1(norms - lax.stop_gradient(target))

    losses, pull = jax.vjp(tasks, r, r2)
    a_r, a_r2 = pull(balance.weights)
    slope, b_r, b_r2 = jax.grad(imbalance, argnums=(0, 1, 2))(balance.weights, r, r2)
    first_losses = jnp.where(is_first, losses, balance.first_losses)
    weights = _next_weights(balance.weights, slope, config.lr_weights_inf)
    return (a_r + b_r, a_r2 + b_r2), Balance(weights, first_losses)


def _next_weights(weights: Array, slope: Array, lr: float) -> Array:
    """The first step of AdamW, then a softmax scaled to the old sum; both as in the original."""
    stepped = weights * (1 - lr * 0.01) - lr * slope / (jnp.abs(slope) + 1e-8)
    return weights.sum() * jax.nn.softmax(stepped)
