"""The balance of several losses by the norms of their gradients, JAX: of inference and of training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from models.tidhy.losses_jax import l1

if TYPE_CHECKING:
    from collections.abc import Callable

    from jax import Array

Values = TypeVar("Values")


class Balance(NamedTuple):
    """Weights (n,) of some losses, the losses (n,) at the first step, and whether that step is over, ()."""

    weights: Array
    first_losses: Array
    started: Array


def initial_balance(count: int, like: Array) -> Balance:
    """A balance of `count` losses whose weights are 1 and whose first losses are yet unknown."""
    ones = jnp.ones(count, like.dtype)
    return Balance(ones, ones, jnp.zeros((), bool))


def balanced_gradients(
    losses_of: Callable[[Values], tuple[Array, Any]],
    norms_of: Callable[[Callable[[Array], Values], Array], Array],
    values: Values,
    balance: Balance,
    *,
    alpha: float,
    lr: float,
    decay: float,
) -> tuple[Values, Balance, Any]:
    """Gradients to descend along in one step, and the balance after it.

    They are those of the weighted losses plus those of the imbalance itself, which hold second derivatives of
    the losses: the original accumulates both in the same buffers.

    Args:
      losses_of: from the values to the losses (n,) and anything else.
      norms_of: from a function that gives the gradient of a weighted sum of losses, and the weights (n, n) of
        each loss alone, to how strong each weighted loss is (n,); differentiable.
      values: arrays that the losses depend on.
      balance: the balance that the step before left.
      alpha: strength of the balance.
      lr: step size of the weights.
      decay: weight decay of the weights.

    Returns:
      The gradients, like `values`; the next balance; and what else `losses_of` returned.

    References:
      Chen et al., GradNorm: gradient normalization for adaptive loss balancing, 2018.
    """

    def replaced(values: Values) -> tuple[Array, Any]:
        losses, rest = losses_of(values)
        return jnp.where(~balance.started & (losses == 0), 1e-6, losses), rest

    def objective(weights: Array, values: Values) -> tuple[Array, tuple[Array, Any]]:
        losses, pull, rest = jax.vjp(replaced, values, has_aux=True)
        norms = norms_of(lambda row: pull(row)[0], jnp.diag(weights))
        first_losses = jnp.where(balance.started, balance.first_losses, lax.stop_gradient(losses))
        progress = losses / first_losses
        target = norms.mean() * (progress / progress.mean()) ** alpha
        imbalance = l1(norms - lax.stop_gradient(target))
        return lax.stop_gradient(weights) @ losses + imbalance, (first_losses, rest)

    by_both = jax.grad(objective, argnums=(0, 1), has_aux=True)
    (slope, gradients), (first_losses, rest) = by_both(balance.weights, values)
    weights = _next_weights(balance.weights, slope, lr, decay)
    return gradients, Balance(weights, first_losses, jnp.ones((), bool)), rest


def _next_weights(weights: Array, slope: Array, lr: float, decay: float) -> Array:
    """The first step of AdamW, then a softmax scaled to the old sum; both as in the original."""
    stepped = weights * (1 - lr * decay) - lr * slope / (jnp.abs(slope) + 1e-8)
    return weights.sum() * jax.nn.softmax(stepped)
