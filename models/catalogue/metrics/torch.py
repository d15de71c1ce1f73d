"""Metrics and statistics of values, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

EDGES = (-1.0, 0.0, 0.5, 1.5)


class Median(nn.Module):
    """The middle value of a row; of an even number, the lower one."""

    def forward(self, x: Tensor) -> Tensor:  # (B, n) -> (B,)
        return x.median(-1).values


class Bins(nn.Module):
    """The number of the bin that each value falls into; a value on an edge belongs to the bin below."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.bucketize(x, torch.tensor(EDGES, dtype=x.dtype))


class Counts(nn.Module):
    """How many values fall into each of four bins on [-2, 2], the right edge included; others are dropped."""

    def forward(self, x: Tensor) -> Tensor:  # (B, n) -> (4,)
        return torch.histc(x.detach(), 4, -2.0, 2.0)


class Statistics(nn.Module):
    """Statistics of values."""

    def __init__(self) -> None:
        super().__init__()
        self.median = Median()
        self.bins = Bins()
        self.counts = Counts()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: child(x) for name, child in self.named_children()}


class RunningMean(nn.Module):
    """The mean over all examples of several batches, of which the last may be short."""

    def forward(self, x: Tensor, sizes: Tensor) -> Tensor:  # (batches, n), (batches,) -> ()
        counted = torch.arange(x.shape[1]) < sizes[:, None]
        return (x * counted).sum() / counted.sum()


class Perplexity(nn.Module):
    """The exponential of the mean loss."""

    def forward(self, x: Tensor, sizes: Tensor) -> Tensor:  # (batches, n), (batches,) -> ()
        counted = torch.arange(x.shape[1]) < sizes[:, None]
        return ((x.abs() * counted).sum() / counted.sum()).exp()


class OverBatches(nn.Module):
    """Metrics that gather over batches."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = RunningMean()
        self.perplexity = Perplexity()

    def forward(self, x: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        return {name: child(x, sizes) for name, child in self.named_children()}
