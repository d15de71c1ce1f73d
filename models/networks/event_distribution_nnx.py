"""Distributions over arrays whose last axes are one event, JAX."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
from jax import Array
from jax import numpy as jnp
from jax.lax import stop_gradient

from models.networks import draws_nnx
from models.networks.pointwise_nnx import softplus


def clip_probs(probs: Array) -> Array:
    """Keep probabilities the machine epsilon of their dtype away from 0 and 1."""
    eps = jnp.finfo(probs.dtype).eps
    return jnp.where(probs < eps, eps, jnp.where(probs > 1 - eps, 1 - eps, probs))


def _sum_last(values: Array, axes: int) -> Array:
    return values.sum(tuple(range(-axes, 0)))


@dataclass(frozen=True, eq=False)
class Normal:
    """Independent normal distributions.

    Args:
        mean: (*, D), float.
        std: Same shape.
        event_axes: Number of trailing axes that make one event.
    """

    mean: Array
    std: Array
    event_axes: int

    def log_prob(self, value: Array) -> Array:
        """Return the log-density of events."""
        z = (value - self.mean) / self.std
        return _sum_last(-(z**2) / 2 - jnp.log(self.std) - math.log(2 * math.pi) / 2, self.event_axes)

    def entropy(self) -> Array:
        """Return the entropy in nats."""
        return _sum_last(jnp.log(self.std) + (1 + math.log(2 * math.pi)) / 2, self.event_axes)

    def sample(self, key: Array) -> Array:
        """Draw one sample, through which gradients reach mean and std."""
        return self.mean + self.std * draws_nnx.standard_normal(key, self.mean)


class OneHotCategorical:
    """Categorical distributions over one-hot vectors.

    Args:
        probs: (*, G, K), float; divided by the sums of its rows.
        event_axes: Number of axes in front of the classes that make one event.
    """

    def __init__(self, probs: Array, event_axes: int) -> None:
        self.probs = probs / probs.sum(-1, keepdims=True)
        self.event_axes = event_axes

    @property
    def logits(self) -> Array:
        """Logarithms of the probabilities, which are kept away from 0."""
        return jnp.log(clip_probs(self.probs))

    def log_prob(self, value: Array) -> Array:
        """Return the log-probability of one-hot events; no gradient reaches them, as in torch."""
        chosen = jnp.take_along_axis(self.logits, value.argmax(-1, keepdims=True), -1)
        return _sum_last(chosen, self.event_axes + 1)

    def entropy(self) -> Array:
        """Return the entropy in nats."""
        return _sum_last(-self.probs * self.logits, self.event_axes + 1)

    def sample(self, key: Array) -> Array:
        """Draw one-hot vectors with the gradient of the probabilities (straight through)."""
        return draws_nnx.one_hot(key, self.probs) + (self.probs - stop_gradient(self.probs))


@dataclass(frozen=True, eq=False)
class Bernoulli:
    """Independent bits.

    Args:
        probs: (*, G, K), float.
        event_axes: Number of trailing axes that make one event.
    """

    probs: Array
    event_axes: int

    @property
    def logits(self) -> Array:
        """Log-odds of the probabilities, which are kept away from 0 and 1."""
        clipped = clip_probs(self.probs)
        return jnp.log(clipped) - jnp.log1p(-clipped)

    def log_prob(self, value: Array) -> Array:
        """Return the log-probability of events of 0 and 1."""
        return _sum_last(value * self.logits - jax.nn.softplus(self.logits), self.event_axes)

    def entropy(self) -> Array:
        """Return the entropy in nats."""
        return _sum_last(jax.nn.softplus(self.logits) - self.probs * self.logits, self.event_axes)

    def sample(self, key: Array) -> Array:
        """Draw bits; no gradient passes."""
        return draws_nnx.bits(key, self.probs)


AnyDistribution = Normal | OneHotCategorical | Bernoulli


def divergence(p: AnyDistribution, q: AnyDistribution) -> Array:
    """Return KL(p ‖ q), summed over the event axes.

    Raises:
        NotImplementedError: The kinds differ.
    """
    match p, q:
        case Normal(), Normal():
            terms = _normal_terms(p, q)
        case OneHotCategorical(), OneHotCategorical():
            terms = _categorical_terms(p.probs, p.logits - q.logits, q.probs).sum(-1)
        case Bernoulli(), Bernoulli():
            terms = _bernoulli_terms(p, q)
        case _:
            raise NotImplementedError(f"divergence: {type(p).__name__} and {type(q).__name__} differ in kind")
    return _sum_last(terms, p.event_axes)


def _normal_terms(p: Normal, q: Normal) -> Array:
    ratio = (p.std / q.std) ** 2
    return (ratio + ((p.mean - q.mean) / q.std) ** 2 - 1 - jnp.log(ratio)) / 2


def _categorical_terms(p: Array, log_ratio: Array, q: Array) -> Array:
    """Return p·log(p/q): infinite where only q is 0, and 0 where p is."""
    return jnp.where(p == 0, 0, jnp.where(q == 0, jnp.inf, p * log_ratio))


def _bernoulli_terms(p: Bernoulli, q: Bernoulli) -> Array:
    one = softplus(-q.logits) - softplus(-p.logits)
    zero = softplus(q.logits) - softplus(p.logits)
    return _categorical_terms(p.probs, one, q.probs) + _categorical_terms(1 - p.probs, zero, 1 - q.probs)
