"""Gathers, scatters, segments and permutations, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class SegmentMax(nn.Module):
    """The largest row of every segment; an empty segment gives zeros."""

    def __init__(self, segments: int) -> None:
        super().__init__()
        self.segments = segments

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:  # (n, d), (n,) -> (segments, d)
        start = x.new_zeros(self.segments, x.shape[1])
        return start.scatter_reduce(0, ids[:, None].expand_as(x), x, "amax", include_self=False)


class SegmentSum(nn.Module):
    """The sum of every segment."""

    def __init__(self, segments: int) -> None:
        super().__init__()
        self.segments = segments

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:  # (n, d), (n,) -> (segments, d)
        return x.new_zeros(self.segments, x.shape[1]).index_add(0, ids, x)


class Segments(nn.Module):
    """Rows gathered by segment."""

    def __init__(self, segments: int = 5) -> None:
        super().__init__()
        self.largest = SegmentMax(segments)
        self.total = SegmentSum(segments)

    def forward(self, x: Tensor, ids: Tensor) -> dict[str, Tensor]:
        return {name: child(x, ids) for name, child in self.named_children()}


class Hits(nn.Module):
    """Adds one to the rows that are chosen, and doubles the others."""

    def forward(self, x: Tensor, chosen: Tensor) -> Tensor:  # (n, d), (n,) booleans
        doubled = x.masked_fill(chosen[:, None], 0) * 2
        return doubled.index_add(0, chosen.nonzero()[:, 0], x[chosen] + 1)


class Blank(nn.Module):
    """Fills the chosen rows with a constant."""

    def forward(self, x: Tensor, chosen: Tensor) -> Tensor:
        return x.masked_fill(chosen[:, None], -3.0)


class Roll(nn.Module):
    """Rolls the rows by one."""

    def forward(self, x: Tensor, chosen: Tensor) -> Tensor:
        return x.roll(1, 0)


class Cumulative(nn.Module):
    """Sums up to and with every row."""

    def forward(self, x: Tensor, chosen: Tensor) -> Tensor:
        return x.cumsum(0)


class Masks(nn.Module):
    """Rows changed by a mask, or by their place."""

    def __init__(self) -> None:
        super().__init__()
        self.hits = Hits()
        self.blank = Blank()
        self.roll = Roll()
        self.cumulative = Cumulative()

    def forward(self, x: Tensor, chosen: Tensor) -> dict[str, Tensor]:
        return {name: child(x, chosen) for name, child in self.named_children()}


class Unique(nn.Module):
    """Distinct ids in ascending order, and the mean row of each."""

    def forward(self, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:  # (n, d), (n,)
        found, inverse, counts = ids.unique(return_inverse=True, return_counts=True)
        total = x.new_zeros(len(ids), x.shape[1]).index_add(0, inverse, x)
        padded = nn.functional.pad(found, (0, len(ids) - len(found)), value=-1)
        share = nn.functional.pad(counts, (0, len(ids) - len(counts)), value=1)
        return padded, total / share[:, None]


class Reordered(nn.Module):
    """Sorts rows by key, adds their place, and puts them back."""

    def forward(self, x: Tensor, keys: Tensor) -> Tensor:  # (n, d), (n,)
        order = keys.argsort(stable=True)
        changed = x[order] + torch.arange(len(x), dtype=x.dtype)[:, None]
        return changed[order.argsort()]


class Orders(nn.Module):
    """Rows by id."""

    def __init__(self) -> None:
        super().__init__()
        self.unique = Unique()
        self.reordered = Reordered()

    def forward(self, x: Tensor, ids: Tensor) -> dict[str, Tensor | tuple[Tensor, Tensor]]:
        return {name: child(x, ids) for name, child in self.named_children()}
