"""Metrics and statistics of values, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from jax import Array

EDGES = (-1.0, 0.0, 0.5, 1.5)


class Median(nnx.Module):
    """The middle value of a row; of an even number, the lower one. `jnp.median` takes the mean of both."""

    def __call__(self, x: Array) -> Array:  # (B, n) -> (B,)
        at = jnp.argsort(x, -1)[:, (x.shape[-1] - 1) // 2]
        return jnp.take_along_axis(x, at[:, None], -1)[:, 0]


class Bins(nnx.Module):
    """The number of the bin that each value falls into; a value on an edge belongs to the bin below."""

    def __call__(self, x: Array) -> Array:
        return jnp.searchsorted(jnp.asarray(EDGES, x.dtype), x, side="left")


class Counts(nnx.Module):
    """How many values fall into each of four bins on [-2, 2], the right edge included; others are dropped."""

    def __call__(self, x: Array) -> Array:  # (B, n) -> (4,)
        return jnp.stack([(self.bin(x) == i).sum() for i in range(4)]).astype(x.dtype)

    def bin(self, x: Array) -> Array:
        """The number of each value's bin; -1 outside the range."""
        inside = (x >= -2) & (x <= 2)
        return jnp.where(inside, jnp.minimum(jnp.floor(x + 2), 3), -1)


class Statistics(nnx.Module):
    """Statistics of values."""

    def __init__(self) -> None:
        self.median = Median()
        self.bins = Bins()
        self.counts = Counts()

    def __call__(self, x: Array) -> dict[str, Array]:
        return {"median": self.median(x), "bins": self.bins(x), "counts": self.counts(x)}


class RunningMean(nnx.Module):
    """The mean over all examples of several batches, of which the last may be short."""

    def __call__(self, x: Array, sizes: Array) -> Array:  # (batches, n), (batches,) -> ()
        counted = jnp.arange(x.shape[1]) < sizes[:, None]
        return (x * counted).sum() / counted.sum()


class Perplexity(nnx.Module):
    """The exponential of the mean loss."""

    def __call__(self, x: Array, sizes: Array) -> Array:  # (batches, n), (batches,) -> ()
        counted = jnp.arange(x.shape[1]) < sizes[:, None]
        return jnp.exp((jnp.abs(x) * counted).sum() / counted.sum())


class OverBatches(nnx.Module):
    """Metrics that gather over batches."""

    def __init__(self) -> None:
        self.mean = RunningMean()
        self.perplexity = Perplexity()

    def __call__(self, x: Array, sizes: Array) -> dict[str, Array]:
        return {"mean": self.mean(x, sizes), "perplexity": self.perplexity(x, sizes)}
