"""Schedules and averages, Flax NNX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

if TYPE_CHECKING:
    from jax import Array


class Rate(nnx.Module):
    """The learning rate of every step, as a function of the step alone."""

    def __call__(self, losses: Array) -> Array:  # (T,) -> (T,)
        return jnp.asarray([0.1 * self.factor(step) for step in range(len(losses))], losses.dtype)

    def factor(self, step: int) -> float:
        raise NotImplementedError


class Cosine(Rate):
    """From the first rate down to `floor`, an absolute rate; Optax's alpha is a share of the first."""

    def __init__(self) -> None:
        self.floor = 0.01
        self.horizon = 9

    def factor(self, step: int) -> float:
        share = self.floor / 0.1
        return share + (1 - share) * (1 + math.cos(math.pi * step / self.horizon)) / 2


class Milestones(Rate):
    """Ten times less from each milestone on."""

    def factor(self, step: int) -> float:
        return 0.1 ** sum(step >= milestone for milestone in (2, 5))


class Warmup(Rate):
    """Linear; the first step already takes a quarter."""

    def factor(self, step: int) -> float:
        return min((step + 1) / 4, 1.0)


class Epochs(Rate):
    """Half after every epoch, not after every step."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def factor(self, step: int) -> float:
        return 0.5 ** (step // self.epoch)


class Plateau(nnx.Module):
    """Half when the loss has not become a tenth better for more than `patience` steps; then it waits."""

    def __init__(self) -> None:
        self.patience = 1
        self.cooldown = 1
        self.threshold = 0.1

    def __call__(self, losses: Array) -> Array:  # (T,) -> (T,)
        def step(state: tuple[Array, Array, Array, Array], loss: Array) -> tuple[Any, Array]:
            rate, best, bad, wait = state
            better = loss < self.goal(best)
            best = jnp.where(better, loss, best)
            bad = jnp.where(better, 0, bad + 1)
            bad = jnp.where(wait > 0, 0, bad)
            cut = bad > self.patience
            after = jnp.where(cut, 0.5 * rate, rate)
            wait = jnp.where(cut, self.cooldown, jnp.maximum(wait - 1, 0))
            return (after, best, jnp.where(cut, 0, bad), wait), rate

        losses = jax.lax.stop_gradient(losses)
        first = (jnp.asarray(0.1, losses.dtype), jnp.asarray(jnp.inf, losses.dtype), jnp.asarray(0), jnp.asarray(0))
        return jax.lax.scan(step, first, losses)[1]

    def goal(self, best: Array) -> Array:
        return best * (1 - self.threshold)


class Schedules(nnx.Module):
    """Learning rates; only the last schedule looks at the losses."""

    def __init__(self, epoch: int = 3) -> None:
        self.cosine = Cosine()
        self.milestones = Milestones()
        self.warmup = Warmup()
        self.epochs = Epochs(epoch)
        self.plateau = Plateau()

    def __call__(self, losses: Array) -> dict[str, Array]:  # (T,)
        names = ("cosine", "milestones", "warmup", "epochs", "plateau")
        return {name: getattr(self, name)(losses) for name in names}


class Average(nnx.Module):
    """The exponential average of parameters after every step, with a warm-up, buffers included."""

    def __call__(self, start: Array, gradients: Array) -> Array:  # (2, n), (T, 2, n) -> (T, 2, n)
        parameters = average = jax.lax.stop_gradient(start)
        seen: list[Array] = []
        for step, gradient in enumerate(jax.lax.stop_gradient(gradients)):
            before, parameters = parameters, parameters - 0.1 * gradient
            average = self.follow(average, before, parameters, self.keep(step))
            seen.append(average)
        return jnp.stack(seen)

    def keep(self, step: int) -> float:
        return min(0.9, (1 + step) / (10 + step))

    def follow(self, average: Array, before: Array, after: Array, keep: float) -> Array:
        return keep * average + (1 - keep) * after


class Resumed(nnx.Module):
    """Adam stopped half way, its state saved and loaded into a new optimizer."""

    def __call__(self, start: Array, gradients: Array) -> Array:  # (2, n), (T, 2, n) -> (2, n)
        adam = optax.scale_by_adam(eps=1e-8)
        parameters, gradients = jax.lax.stop_gradient((start, gradients))
        state = adam.init(parameters)
        for step, gradient in enumerate(gradients):
            if step == len(gradients) // 2:
                state = self.resume(state)
            update, state = adam.update(gradient, state)
            parameters = parameters - 0.01 * jnp.asarray(update)
        return parameters

    def resume(self, state: Any) -> Any:
        return state


class Bookkeeping(nnx.Module):
    """What surrounds an optimizer."""

    def __init__(self) -> None:
        self.average = Average()
        self.resumed = Resumed()

    def __call__(self, start: Array, gradients: Array) -> dict[str, Array]:
        return {"average": self.average(start, gradients), "resumed": self.resumed(start, gradients)}


class Accumulation(nnx.Module):
    """The mean square over all tokens of several micro-batches of unequal size."""

    def __call__(self, x: Array, sizes: Array) -> Array:  # (batches, n), (batches,) -> ()
        counted = jnp.arange(x.shape[1]) < sizes[:, None]
        return self.mean(jnp.where(counted, jnp.square(x), 0).sum(1), sizes)

    def mean(self, sums: Array, sizes: Array) -> Array:
        return sums.sum() / sizes.sum()
