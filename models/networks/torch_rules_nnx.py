"""The update rules of `torch.optim` with torch's arguments and defaults, in optax."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

Rule = optax.GradientTransformation
Betas = tuple[float, float]
_BETAS = (0.9, 0.999)


def _chain(weight_decay: float, rule: Rule, lr: optax.ScalarOrSchedule | None = None) -> Rule:
    """Add the weights to the gradient first, as all of torch's rules but AdamW do; scale last."""
    decay = [optax.add_decayed_weights(weight_decay)] if weight_decay else []
    return optax.chain(*decay, rule, *([] if lr is None else [optax.scale_by_learning_rate(lr)]))


def adam(lr: Any = 1e-3, betas: Betas = _BETAS, eps: float = 1e-8, weight_decay: float = 0.0) -> Rule:
    """`torch.optim.Adam`."""
    return _chain(weight_decay, optax.adam(lr, *betas, eps))


def adamw(lr: Any = 1e-3, betas: Betas = _BETAS, eps: float = 1e-8, weight_decay: float = 1e-2) -> Rule:
    """`torch.optim.AdamW`: the decay bypasses the moments."""
    return optax.adamw(lr, *betas, eps, weight_decay=weight_decay)


def sgd(lr: Any = 1e-3, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False) -> Rule:
    """`torch.optim.SGD` without dampening."""
    return _chain(weight_decay, optax.sgd(lr, momentum or None, nesterov))


def rmsprop(
    lr: Any = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> Rule:
    """`torch.optim.RMSprop`: epsilon outside the root."""
    rule = optax.rmsprop(lr, alpha, eps, eps_in_sqrt=False, centered=centered, momentum=momentum or None)
    return _chain(weight_decay, rule)


def adamax(lr: Any = 2e-3, betas: Betas = _BETAS, eps: float = 1e-8, weight_decay: float = 0.0) -> Rule:
    """`torch.optim.Adamax`."""
    return _chain(weight_decay, optax.adamax(lr, *betas, eps))


def adadelta(lr: Any = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0) -> Rule:
    """`torch.optim.Adadelta`."""
    return _chain(weight_decay, optax.adadelta(lr, rho, eps))


class SquareSum(NamedTuple):
    """State of Adagrad: number of steps, and each parameter's sum of squared gradients."""

    steps: Array
    total: Any


def adagrad(
    lr: Any = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> Rule:
    """`torch.optim.Adagrad`: epsilon outside the root, accumulators that start at 0."""

    def init(params: Any) -> SquareSum:
        start = jax.tree.map(lambda p: jnp.full_like(p, initial_accumulator_value), params)
        return SquareSum(jnp.zeros((), int), start)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, SquareSum]:
        del params
        total = jax.tree.map(lambda g, s: s + g * g, updates, state.total)
        slower = 1 + state.steps * lr_decay
        scaled = jax.tree.map(lambda g, s: g / (slower * (jnp.sqrt(s) + eps)), updates, total)
        return scaled, SquareSum(state.steps + 1, total)

    return _chain(weight_decay, Rule(init, update), lr)


class Moments(NamedTuple):
    """State of the rules with two moments: number of steps, NAdam's product of momenta, the moments."""

    steps: Array
    product: Array
    mu: Any
    nu: Any


Leaf = Callable[[Array, Array, Array], Array]  # gradient and moments to the update
Step = Callable[[Array, Array], tuple[Leaf, Array]]  # step number and product of momenta to both, renewed


def _by_moments(betas: Betas, step: Step) -> Rule:
    """Build a rule that averages gradients and their squares, and then acts on each leaf."""

    def init(params: Any) -> Moments:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return Moments(jnp.zeros((), int), jnp.ones(()), zeros, zeros)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Moments]:
        del params
        mu = jax.tree.map(lambda g, m: m + (1 - betas[0]) * (g - m), updates, state.mu)
        nu = jax.tree.map(lambda g, v: betas[1] * v + (1 - betas[1]) * g * g, updates, state.nu)
        leaf, product = step((state.steps + 1).astype(state.product.dtype), state.product)
        return jax.tree.map(leaf, updates, mu, nu), Moments(state.steps + 1, product, mu, nu)

    return Rule(init, update)


def nadam(
    lr: Any = 2e-3,
    betas: Betas = _BETAS,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
) -> Rule:
    """`torch.optim.NAdam`: the momentum grows with the steps."""

    def momentum(count: Array) -> Array:
        return betas[0] * (1 - 0.5 * 0.96 ** (count * momentum_decay))

    def step(count: Array, product: Array) -> tuple[Leaf, Array]:
        now, following = momentum(count), momentum(count + 1)
        product = product * now
        by_gradient = (1 - now) / (1 - product)
        by_moment = following / (1 - product * following)
        correction = 1 - betas[1] ** count
        return (
            lambda g, m, v: (by_gradient * g + by_moment * m) / (jnp.sqrt(v / correction) + eps),
            product,
        )

    return _chain(weight_decay, _by_moments(betas, step), lr)


def radam(lr: Any = 1e-3, betas: Betas = _BETAS, eps: float = 1e-8, weight_decay: float = 0.0) -> Rule:
    """`torch.optim.RAdam`: epsilon beside the root of the second moment, before its bias is corrected."""
    longest = 2 / (1 - betas[1]) - 1

    def step(count: Array, product: Array) -> tuple[Leaf, Array]:
        correction = 1 - betas[1] ** count
        length = longest - 2 * count * betas[1] ** count / correction
        rectified = length > 5
        long = jnp.where(rectified, length, 6)  # the root of a short one is not real
        rect = jnp.sqrt((long - 4) * (long - 2) * longest / ((longest - 4) * (longest - 2) * long))

        def leaf(g: Array, m: Array, v: Array) -> Array:
            del g
            factor = jnp.where(rectified, rect * jnp.sqrt(correction) / (jnp.sqrt(v) + eps), 1)
            return m / (1 - betas[0] ** count) * factor

        return leaf, product

    return _chain(weight_decay, _by_moments(betas, step), lr)


TORCH_RULES = MappingProxyType(
    {
        "Adadelta": adadelta,
        "Adagrad": adagrad,
        "Adam": adam,
        "AdamW": adamw,
        "Adamax": adamax,
        "NAdam": nadam,
        "RAdam": radam,
        "RMSprop": rmsprop,
        "SGD": sgd,
    }
)
