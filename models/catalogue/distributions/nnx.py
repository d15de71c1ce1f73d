"""Log-probabilities and samples of distributions, Flax NNX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx
from jax.scipy.special import gammaln

if TYPE_CHECKING:
    from jax import Array


class Gamma(nnx.Module):
    """By shape and rate."""

    def __call__(self, x: Array, p: Array) -> Array:
        shape, rate = 2.0 + p, self.rate(1.0 + 2 * p)
        return shape * jnp.log(rate) + (shape - 1) * jnp.log(x) - rate * x - gammaln(shape)

    def rate(self, value: Array) -> Array:
        return value


class Geometric(nnx.Module):
    """Of the number of failures before the first success."""

    def __call__(self, x: Array, p: Array) -> Array:
        return self.failures(jnp.floor(x)) * jnp.log1p(-p) + jnp.log(p)

    def failures(self, count: Array) -> Array:
        return count


class NegativeBinomial(nnx.Module):
    """Of the number of successes, each with probability p, before the third failure."""

    def __call__(self, x: Array, p: Array) -> Array:
        x, p = jnp.floor(x), self.success(p)
        normaliser = gammaln(3.0 + x) - gammaln(1.0 + x) - gammaln(3.0)
        return 3.0 * jnp.log1p(-p) + x * jnp.log(p) + normaliser

    def success(self, p: Array) -> Array:
        return p


class Counts(nnx.Module):
    """Distributions of positive numbers, given a number and a probability."""

    def __init__(self) -> None:
        self.gamma = Gamma()
        self.geometric = Geometric()
        self.negative_binomial = NegativeBinomial()

    def __call__(self, x: Array, p: Array) -> dict[str, Array]:
        names = ("gamma", "geometric", "negative_binomial")
        return {name: getattr(self, name)(x, p) for name in names}


class Normal(nnx.Module):
    """A multivariate normal distribution by its Cholesky factor."""

    def __init__(self, width: int = 3) -> None:
        self.factor = nnx.Param(jnp.eye(width) + 0.3 * jnp.tril(jnp.ones((width, width))))

    def __call__(self, x: Array) -> Array:  # (B, width) -> (B,)
        factor = self.lower()
        white = jax.scipy.linalg.solve_triangular(factor, x.T, lower=True)
        log_determinant = jnp.log(jnp.diag(factor)).sum()
        return -0.5 * (jnp.square(white).sum(0) + x.shape[-1] * math.log(2 * math.pi)) - log_determinant

    def lower(self) -> Array:
        factor = self.factor[...]
        return jnp.tril(factor, -1) + jnp.diag(jax.nn.softplus(jnp.diag(factor)))


class Squashed(nnx.Module):
    """log |d tanh / dx|, in the form that stays exact for large x."""

    def __call__(self, x: Array) -> Array:
        return 2 * (math.log(2.0) - x - jax.nn.softplus(-2 * x))


class Actor(nnx.Module):
    """A normal action squashed by tanh, with a clamped log-deviation; the sample carries a gradient."""

    def __init__(self, width: int = 3, *, rngs: nnx.Rngs) -> None:
        self.mean = nnx.Linear(width, width, rngs=rngs)
        self.log_deviation = nnx.Linear(width, width, rngs=rngs)
        self.squashed = Squashed()

    def __call__(self, x: Array, noise: Array) -> tuple[Array, Array]:  # (B, width) x 2 -> (B, width) x 2
        log_deviation = self.clamp(self.log_deviation(x))
        raw = self.mean(x) + jnp.exp(log_deviation) * noise
        log_probability = -0.5 * jnp.square(noise) - log_deviation - self.squashed(raw)
        return jnp.tanh(raw), log_probability

    def clamp(self, x: Array) -> Array:
        return jnp.clip(x, -5.0, 2.0)


class Score(nnx.Module):
    """The log-probability of a sample that carries no gradient, as a policy gradient needs it."""

    def __init__(self, width: int = 3, *, rngs: nnx.Rngs) -> None:
        self.mean = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: Array, noise: Array) -> Array:  # (B, width) x 2 -> (B, width)
        mean = self.mean(x)
        return -0.5 * jnp.square(self.sample(mean, noise) - mean)

    def sample(self, mean: Array, noise: Array) -> Array:
        return jax.lax.stop_gradient(mean + noise)


class Support(nnx.Module):
    """Log-probabilities of an exponential and a uniform distribution, minus infinity outside their supports."""

    def __call__(self, x: Array) -> tuple[Array, Array]:
        exponential = jnp.where(x >= 0, math.log(1.5) - 1.5 * x, -jnp.inf)
        return exponential, self.uniform(x)

    def uniform(self, x: Array) -> Array:
        inside = (x >= -1) & (x < 1)  # torch's upper end is open
        return jnp.where(inside, -math.log(2.0), -jnp.inf).astype(x.dtype)
