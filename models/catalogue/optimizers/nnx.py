"""Optimizers replayed on recorded gradients, Optax in Flax NNX modules. Start (2, n), gradients (T, 2, n)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

if TYPE_CHECKING:
    from jax import Array


class Replay(nnx.Module):
    """One optimizer on a weight and a bias. Rates are an array in the run's precision: Optax's are float32."""

    rate = 0.1

    def __call__(self, start: Array, gradients: Array) -> Array:
        transform = self.transform()

        def step(carry: tuple[Array, Any], at: tuple[Array, Array]) -> tuple[tuple[Array, Any], Array]:
            parameters, state = carry
            gradient, rate = at
            update, state = transform.update(gradient, state, parameters)
            parameters = self.move(parameters, jnp.asarray(update), rate)
            return (parameters, state), parameters

        start, gradients = jax.lax.stop_gradient((start, gradients))
        carry = (start, transform.init(start))
        return jax.lax.scan(step, carry, (gradients, self.rates(len(gradients)).astype(start.dtype)))[1]

    def transform(self) -> optax.GradientTransformation:
        """From gradients to what is subtracted, but for the rate."""
        raise NotImplementedError

    def rates(self, steps: int) -> Array:
        return jnp.full(steps, self.rate)

    def move(self, parameters: Array, update: Array, rate: Array) -> Array:
        return parameters - rate * update


class Decayed(Replay):
    """Decay joins the gradient before the momentum."""

    def __init__(self) -> None:
        self.decay = 0.9

    def transform(self) -> optax.GradientTransformation:
        return optax.chain(optax.add_decayed_weights(0.1), optax.trace(self.decay))


class Nesterov(Replay):
    """Momentum that looks ahead."""

    def transform(self) -> optax.GradientTransformation:
        return optax.trace(0.9, nesterov=True)


class Masked(Replay):
    """Only the weight decays."""

    def transform(self) -> optax.GradientTransformation:
        return optax.stateless(self.decay)

    def decay(self, g: Any, p: Any) -> Any:
        return g + jnp.asarray(self.decays())[:, None] * p

    def decays(self) -> tuple[float, float]:
        return 0.1, 0.0


class Frozen(Replay):
    """The bias takes no part: no step, no decay."""

    def transform(self) -> optax.GradientTransformation:
        return optax.add_decayed_weights(0.1)

    def move(self, parameters: Array, update: Array, rate: Array) -> Array:
        return (parameters - rate * update).at[1].set(parameters[1])


class Rates(Replay):
    """Momentum of gradients, not of steps: the rate of the day multiplies all of it."""

    def transform(self) -> optax.GradientTransformation:
        return optax.trace(0.9)

    def rates(self, steps: int) -> Array:
        return 0.1 * 0.8 ** jnp.arange(steps, dtype=float)


class Momentum(nnx.Module):
    """Optimizers that keep one average at most."""

    def __init__(self) -> None:
        self.decayed = Decayed()
        self.nesterov = Nesterov()
        self.masked = Masked()
        self.frozen = Frozen()
        self.rates = Rates()

    def __call__(self, start: Array, gradients: Array) -> dict[str, Array]:
        names = ("decayed", "nesterov", "masked", "frozen", "rates")
        return {name: getattr(self, name)(start, gradients) for name in names}


class Adam(Replay):
    """Torch's defaults; epsilon is added outside the root."""

    rate = 0.01

    def transform(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(eps=1e-8)


class AdamW(Adam):
    """Torch's default decay is 1e-2, Optax's 1e-4."""

    def __init__(self) -> None:
        self.decay = 1e-2

    def transform(self) -> optax.GradientTransformation:
        return optax.chain(optax.scale_by_adam(eps=1e-8), optax.add_decayed_weights(self.decay))


class NAdam(Adam):
    """Torch's momentum has a schedule of its own: beta (1 - 0.96^(step / 250) / 2)."""

    def transform(self) -> optax.GradientTransformation:
        def init(params: Array) -> tuple[Array, Array, Array, Array]:
            zeros, one = jnp.zeros_like(params), jnp.ones((), params.dtype)
            return zeros, zeros, one, 0 * one

        def update(g: Array, state: tuple[Array, Array, Array, Array], params: Any = None) -> tuple[Array, Any]:
            m, v, product, step = state
            step = step + 1
            now, after = self.momentum(step), self.momentum(step + 1)
            product = product * now
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            size = jnp.sqrt(v / (1 - 0.999**step)) + 1e-8
            return ((1 - now) / (1 - product) * g + after / (1 - product * after) * m) / size, (m, v, product, step)

        return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]  # one array, no tree

    def momentum(self, step: Array) -> Array:
        return 0.9 * (1 - 0.5 * 0.96 ** (step * 0.004))


class Adagrad(Adam):
    """The sum starts at zero; epsilon is added outside the root."""

    def __init__(self) -> None:
        self.initial = 0.0
        self.epsilon = 1e-10

    def transform(self) -> optax.GradientTransformation:
        def init(params: Array) -> Array:
            return jnp.full_like(params, self.initial)

        def update(g: Array, total: Array, params: Any = None) -> tuple[Array, Array]:
            total = total + g * g
            return self.divide(g, total), total

        return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]  # one array, no tree

    def divide(self, g: Array, total: Array) -> Array:
        return g / (jnp.sqrt(total) + self.epsilon)


class RMSprop(Adam):
    """Torch's decay is 0.99, Optax's 0.9; the momentum averages gradients, not steps."""

    def __init__(self) -> None:
        self.decay = 0.99

    def transform(self) -> optax.GradientTransformation:
        rms = optax.scale_by_rms(decay=self.decay, eps=1e-8, eps_in_sqrt=False)
        return optax.chain(rms, optax.trace(0.9))

    def rates(self, steps: int) -> Array:
        return 0.01 * 0.8 ** jnp.arange(steps, dtype=float)


class Clipped(Adam):
    """Gradients are cut to a largest norm before the step; torch adds 1e-6 to the norm."""

    def transform(self) -> optax.GradientTransformation:
        return optax.chain(optax.stateless(self.clip), optax.scale_by_adam(eps=1e-8))

    def clip(self, g: Any, p: Any = None) -> Any:
        return g * jnp.minimum(1.0, 1.0 / (jnp.sqrt(jnp.square(g).sum()) + 1e-6))


class Adaptive(nnx.Module):
    """Optimizers that divide by a running size of the gradient."""

    def __init__(self) -> None:
        self.adam = Adam()
        self.adamw = AdamW()
        self.nadam = NAdam()
        self.adagrad = Adagrad()
        self.rmsprop = RMSprop()
        self.clipped = Clipped()

    def __call__(self, start: Array, gradients: Array) -> dict[str, Array]:
        names = ("adam", "adamw", "nadam", "adagrad", "rmsprop", "clipped")
        return {name: getattr(self, name)(start, gradients) for name in names}
