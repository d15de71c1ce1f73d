"""Gathers, scatters, segments and permutations, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from jax import Array


class SegmentMax(nnx.Module):
    """The largest row of every segment; an empty segment gives zeros, where JAX gives minus infinity."""

    def __init__(self, segments: int) -> None:
        self.segments = segments

    def __call__(self, x: Array, ids: Array) -> Array:  # (n, d), (n,) -> (segments, d)
        largest = jax.ops.segment_max(x, ids, self.segments)
        return self.filled(largest, jnp.zeros(self.segments, int).at[ids].add(1))

    def filled(self, largest: Array, counts: Array) -> Array:
        return jnp.where(counts[:, None] > 0, largest, 0)


class SegmentSum(nnx.Module):
    """The sum of every segment."""

    def __init__(self, segments: int) -> None:
        self.segments = segments

    def __call__(self, x: Array, ids: Array) -> Array:  # (n, d), (n,) -> (segments, d)
        return jax.ops.segment_sum(x, ids, self.segments)


class Segments(nnx.Module):
    """Rows gathered by segment."""

    def __init__(self, segments: int = 5) -> None:
        self.largest = SegmentMax(segments)
        self.total = SegmentSum(segments)

    def __call__(self, x: Array, ids: Array) -> dict[str, Array]:
        return {"largest": self.largest(x, ids), "total": self.total(x, ids)}


class Hits(nnx.Module):
    """Adds one to the rows that are chosen, and doubles the others."""

    def __call__(self, x: Array, chosen: Array) -> Array:  # (n, d), (n,) booleans
        doubled = jnp.where(chosen[:, None], 0, x) * 2
        at = jnp.nonzero(chosen, size=len(x), fill_value=self.filler(x))[0]
        return doubled.at[at].add(x.at[at].get(mode="fill", fill_value=0) + 1, mode="drop")

    def filler(self, x: Array) -> int:
        """A row that does not exist: what fills up the list of hits must hit nothing."""
        return len(x)


class Blank(nnx.Module):
    """Fills the chosen rows with a constant."""

    def __call__(self, x: Array, chosen: Array) -> Array:
        return jnp.where(chosen[:, None], -3.0, x)


class Roll(nnx.Module):
    """Rolls the rows by one."""

    def __call__(self, x: Array, chosen: Array) -> Array:
        return jnp.roll(x, 1, 0)


class Cumulative(nnx.Module):
    """Sums up to and with every row."""

    def __call__(self, x: Array, chosen: Array) -> Array:
        return jnp.cumsum(x, 0)


class Masks(nnx.Module):
    """Rows changed by a mask, or by their place."""

    def __init__(self) -> None:
        self.hits = Hits()
        self.blank = Blank()
        self.roll = Roll()
        self.cumulative = Cumulative()

    def __call__(self, x: Array, chosen: Array) -> dict[str, Array]:
        return {name: getattr(self, name)(x, chosen) for name in ("hits", "blank", "roll", "cumulative")}


class Unique(nnx.Module):
    """Distinct ids in ascending order, and the mean row of each."""

    def __call__(self, x: Array, ids: Array) -> tuple[Array, Array]:  # (n, d), (n,)
        found, inverse, counts = self.distinct(ids)
        total = jnp.zeros_like(x).at[inverse].add(x)
        return found, total / jnp.maximum(counts, 1)[:, None]

    def distinct(self, ids: Array) -> tuple[Array, Array, Array]:
        return jnp.unique(ids, return_inverse=True, return_counts=True, size=len(ids), fill_value=-1)


class Reordered(nnx.Module):
    """Sorts rows by key, adds their place, and puts them back."""

    def __call__(self, x: Array, keys: Array) -> Array:  # (n, d), (n,)
        order = jnp.argsort(keys)
        changed = x[order] + jnp.arange(len(x), dtype=x.dtype)[:, None]
        return changed[self.back(order)]

    def back(self, order: Array) -> Array:
        return jnp.argsort(order)


class Orders(nnx.Module):
    """Rows by id."""

    def __init__(self) -> None:
        self.unique = Unique()
        self.reordered = Reordered()

    def __call__(self, x: Array, ids: Array) -> dict[str, Array | tuple[Array, Array]]:
        return {"unique": self.unique(x, ids), "reordered": self.reordered(x, ids)}
