"""Gradients that are not those of the formula, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx
from jax.lax import stop_gradient

from models.catalogue.normalisation.rows_nnx import root

if TYPE_CHECKING:
    from jax import Array


@jax.custom_vjp
def reverse(x: Array) -> Array:
    """Forward nothing, backward a change of sign."""
    return x


def _forward(x: Array) -> tuple[Array, None]:
    return x, None


def _backward(kept: None, gradient: Array) -> tuple[Array]:
    return (-0.3 * gradient,)


reverse.defvjp(_forward, _backward)


class Reversal(nnx.Module):
    """Hands values on and turns gradients round."""

    def __call__(self, x: Array) -> Array:
        return reverse(x)


class Rounded(nnx.Module):
    """Rounds, with the gradient of the identity."""

    def __call__(self, x: Array) -> Array:
        return x + stop_gradient(jnp.round(4 * x) / 4 - x)


class Cube(nnx.Module):
    """A cube whose derivative is written by hand."""

    def __call__(self, x: Array) -> Array:
        @jax.custom_vjp
        def cube(x: Array) -> Array:
            return x**3

        cube.defvjp(lambda x: (x**3, x), lambda x, gradient: (self.slope(x) * gradient,))
        return cube(x)

    def slope(self, x: Array) -> Array:
        return 3 * x * x


class Adversarial(nnx.Module):
    """A dense layer, rounded; a branch behind a gradient reversal; a branch that hands on no gradient."""

    def __init__(self, width: int = 3, *, rngs: nnx.Rngs) -> None:
        self.encoder = nnx.Linear(width, width, rngs=rngs)
        self.rounded = Rounded()
        self.reversal = Reversal()
        self.cube = Cube()
        self.judge = nnx.Linear(width, width, rngs=rngs)
        self.gate = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: Array) -> tuple[Array, Array]:  # (B, width) -> 2 x (B, width)
        code = self.rounded(jnp.tanh(self.encoder(x)))
        judged = self.judge(self.cube(self.reversal(code)))
        return judged, self.gated(code)

    def gated(self, code: Array) -> Array:
        return jax.nn.sigmoid(self.gate(code)) * stop_gradient(code)


class Bootstrap(nnx.Module):
    """The distance to what a target network says, which does not learn from it."""

    def __init__(self, width: int = 3, *, rngs: nnx.Rngs) -> None:
        self.online = nnx.Linear(width, width, rngs=rngs)
        self.target = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, width) -> (B,)
        return jnp.square(self.online(x) - self.goal(x)).sum(-1)

    def goal(self, x: Array) -> Array:
        return stop_gradient(self.target(x))


class Penalty(nnx.Module):
    """The squared size of a critic's gradient by its input: a gradient of a gradient."""

    def __init__(self, width: int = 3, *, rngs: nnx.Rngs) -> None:
        self.critic = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, width) -> (B,)
        return jnp.square(self.slope(x)).sum(-1)

    def slope(self, x: Array) -> Array:
        return jax.grad(lambda x: jnp.tanh(self.critic(x)).sum())(x)


class Length(nnx.Module):
    """The length of a row, with the gradient zero at zero."""

    def __call__(self, x: Array) -> Array:  # (B, n) -> (B,)
        return root(jnp.square(x).sum(-1))


class Power(nnx.Module):
    """x to the powers 0, 1, 2: the first is one and has no gradient, at zero too."""

    def __call__(self, x: Array) -> Array:  # (B, n) -> (B,)
        return sum((x**power).sum(-1) for power in range(3))  # pyright: ignore[reportReturnType]  # three arrays


class Product(nnx.Module):
    """The product of a row, zeros included."""

    def __call__(self, x: Array) -> Array:  # (B, n) -> (B,)
        return jnp.prod(x, -1)


class AtZero(nnx.Module):
    """Functions whose gradient at zero is a trap."""

    def __init__(self) -> None:
        self.length = Length()
        self.power = Power()
        self.product = Product()

    def __call__(self, x: Array) -> dict[str, Array]:
        return {"length": self.length(x), "power": self.power(x), "product": self.product(x)}


class Shards(nnx.Module):
    """One step of gradient descent on a loss over two shards: the mean gradient, not the sum."""

    def __init__(self, width: int = 3) -> None:
        self.weight = nnx.Param(jnp.linspace(-1.0, 1.0, width))

    def __call__(self, x: Array) -> Array:  # (2, B, width) -> (width,)
        weight = self.weight[...]

        def on_shard(shard: Array) -> Array:
            slope = jax.grad(lambda w: jnp.square(shard @ w).mean())(weight)
            return self.gather(slope)

        return weight - 0.1 * jax.vmap(on_shard, axis_name="shards")(x)[0]

    def gather(self, slope: Array) -> Array:
        return jax.lax.pmean(slope, "shards")


class Waves(nnx.Module):
    """One step of gradient descent on complex weights: along torch's gradient, the conjugate of JAX's."""

    def __call__(self, x: Array, y: Array) -> Array:  # (n,) real and imaginary parts -> (n, 2)
        weight = stop_gradient(x + 1j * y)
        slope = jax.grad(lambda w: (jnp.abs(w * (1 + 2j)) ** 3).sum() + (w * 1j).real.sum())(weight)
        moved = weight - 0.1 * self.along(slope)
        return jnp.stack([moved.real, moved.imag], -1)

    def along(self, slope: Array) -> Array:
        return jnp.conj(slope)
