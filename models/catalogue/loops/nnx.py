"""Loops, in-place updates, decoding and state between calls, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

from models.catalogue.embed_nnx import Embed

if TYPE_CHECKING:
    from jax import Array


class FixedPoint(nnx.Module):
    """Iterates a contraction a fixed number of times."""

    def __init__(self, width: int = 3, steps: int = 5, *, rngs: nnx.Rngs) -> None:
        self.steps = steps
        self.dense = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, width), both ways
        state = jnp.zeros_like(x)
        for _ in range(self.steps):
            state = jnp.tanh(self.dense(state) + x)
        return state


class Halving(nnx.Module):
    """Halves each row until its largest entry is below one; rows stop on their own."""

    def __call__(self, x: Array) -> tuple[Array, Array]:  # (B, n) -> (B, n), (B,)
        steps = jnp.zeros(len(x), jnp.int32)
        for _ in range(12):
            active = self.active(jnp.abs(x).max(-1) >= 1)
            x = jnp.where(active[:, None], x / 2, x)
            steps = steps + active
        return x, steps

    def active(self, above: Array) -> Array:  # (B,), both ways
        return above


class Updates(nnx.Module):
    """In-place writes: a masked fill, a write through a view, an indexed sum with duplicates."""

    def __call__(self, x: Array, where: Array) -> dict[str, Array]:  # (B, n), (k,)
        return {"filled": self.filled(x), "viewed": self.viewed(x), "added": self.added(x, where)}

    def filled(self, x: Array) -> Array:
        return jnp.where(x > 1, 0.25, x)

    def viewed(self, x: Array) -> Array:
        return x.at[1].multiply(3.0)

    def added(self, x: Array, where: Array) -> Array:
        """Torch's indexed `+=` reads, adds and writes: duplicates count once. `.at[].add` counts them all."""
        x = jax.lax.stop_gradient(x)
        return x.at[where].set(x[where] + 1.0)


class Greedy(nnx.Module):
    """The likeliest token again and again; after the end token come padding tokens."""

    def __init__(self, vocabulary: int = 7, width: int = 5, longest: int = 6, end: int = 2, *, rngs: nnx.Rngs) -> None:
        self.longest = longest
        self.end = end
        self.tokens = Embed(vocabulary, width, rngs=rngs)
        self.head = nnx.Linear(width, vocabulary, rngs=rngs)

    def __call__(self, ids: Array) -> Array:  # (B,) -> (B, longest)
        done = jnp.zeros(len(ids), bool)
        found: list[Array] = []
        for _ in range(self.longest):
            ids = self.masked(self.head(jnp.tanh(self.tokens(ids))).argmax(-1), done)
            done = done | (ids == self.end)
            found.append(ids)
        return jnp.stack(found, 1)

    def masked(self, ids: Array, done: Array) -> Array:
        return jnp.where(done, 0, ids)


class Filter(nnx.Module):
    """Logits at a temperature, cut to the few largest and then to the nucleus that holds 80 %."""

    def __init__(self, temperature: float = 0.7, largest: int = 5, mass: float = 0.8) -> None:
        self.temperature = temperature
        self.largest = largest
        self.mass = mass

    def __call__(self, logits: Array) -> Array:  # (B, n), both ways
        logits = logits / self.temperature
        least = jax.lax.top_k(logits, self.largest)[0][:, -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
        order = jnp.argsort(-logits, -1)
        outside = self.outside(jax.nn.softmax(jnp.take_along_axis(logits, order, 1), -1))
        outside = jnp.take_along_axis(outside, jnp.argsort(order, -1), 1)
        return jax.nn.softmax(jnp.where(outside, -jnp.inf, logits), -1)

    def outside(self, probabilities: Array) -> Array:
        """The token that crosses the mass stays."""
        return jnp.cumsum(probabilities, -1) - probabilities >= self.mass


class Sampler(nnx.Module):
    """A deterministic diffusion sampler over spaced steps, the last of which ends at alpha one."""

    def __init__(self, width: int = 3, steps: int = 4, trained: int = 12, *, rngs: nnx.Rngs) -> None:
        self.steps = steps
        self.trained = trained
        self.noise = nnx.Linear(width, width, rngs=rngs)
        self.alphas = nnx.BatchStat(jnp.cumprod(jnp.linspace(0.99, 0.5, trained)))

    def __call__(self, x: Array) -> Array:  # (B, width), both ways
        stride = self.trained // self.steps
        for step in range((self.steps - 1) * stride, -1, -stride):
            now, after = self.alphas[step], self.after(step, stride)
            noise = jnp.tanh(self.noise(x))
            clean = (x - jnp.sqrt(1 - now) * noise) / jnp.sqrt(now)
            x = jnp.sqrt(after) * clean + jnp.sqrt(1 - after) * noise
        return x

    def after(self, step: int, stride: int) -> Array:
        return self.alphas[step - stride] if step >= stride else jnp.ones_like(self.alphas[0])


class Auxiliary(nnx.Module):
    """A network that leaves a penalty behind, which joins the loss."""

    def __init__(self, width: int = 3, *, rngs: nnx.Rngs) -> None:
        self.dense = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: Array) -> dict[str, Array]:  # (B, width)
        hidden = jnp.tanh(self.dense(x))
        loss = jnp.square(hidden.sum(-1)).mean() + 0.1 * self.penalty(hidden)
        return {"output": hidden, "loss": loss}

    def penalty(self, hidden: Array) -> Array:
        return jnp.square(hidden).mean()


class TwoCalls(nnx.Module):
    """One layer called twice, with weights that change in between."""

    def __init__(self, width: int = 3, *, rngs: nnx.Rngs) -> None:
        self.dense = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: Array) -> tuple[Array, Array]:  # (B, width)
        kernel = self.dense.kernel[...]
        return self.dense(x), self.dense(x) + x @ (self.updated(kernel) - kernel)

    def updated(self, kernel: Array) -> Array:
        return kernel - 0.1 * jnp.sin(kernel)
