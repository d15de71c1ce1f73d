"""Normalisation layers and their running statistics, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from models.catalogue.normalisation.config import NormConfig


class _Block(nn.Module):
    """A pointwise convolution, a norm, a pointwise convolution."""

    def __init__(self, config: NormConfig, norm: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(config.channels, config.width, 1)
        self.norm = norm
        self.out = nn.Conv2d(config.width, config.outputs, 1)

    def forward(self, x: Tensor) -> Tensor:  # (B, channels, H, W) -> (B, outputs, H, W)
        return self.out(torch.tanh(self.norm(self.conv(x))))


class BatchNormBlock(_Block):
    """With batch statistics in training and running ones in evaluation."""

    def __init__(self, config: NormConfig) -> None:
        super().__init__(config, nn.BatchNorm2d(config.width, eps=1e-5, momentum=0.1))


class FrozenBatchNormBlock(_Block):
    """With a norm that keeps its running statistics although the block trains."""

    def __init__(self, config: NormConfig) -> None:
        super().__init__(config, nn.BatchNorm2d(config.width, eps=1e-5, momentum=0.1))

    def train(self, mode: bool = True) -> FrozenBatchNormBlock:
        super().train(mode)
        self.norm.eval()
        return self


class CumulativeBatchNorm(nn.Module):
    """Three batches in turn through a norm whose running statistics are plain averages over batches."""

    def __init__(self, config: NormConfig) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(config.width, momentum=None)
        self.out = nn.Linear(config.width, config.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (3, B, width) -> (3, B, outputs)
        return self.out(torch.tanh(torch.stack([self.norm(batch) for batch in x])))


class ShardedBlock(nn.Module):
    """A norm over a batch that comes in two shards: the statistics are those of both."""

    def __init__(self, config: NormConfig) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(config.width)
        self.out = nn.Linear(config.width, config.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (2, B, width) -> (2, B, outputs)
        return self.out(torch.tanh(self.norm(x.flatten(0, 1)))).unflatten(0, x.shape[:2])


class GroupNormBlock(_Block):
    """With statistics over groups of channels."""

    def __init__(self, config: NormConfig) -> None:
        super().__init__(config, nn.GroupNorm(config.groups, config.width, eps=1e-5))


class OneGroupBlock(_Block):
    """With statistics over all channels and positions of an image."""

    def __init__(self, config: NormConfig) -> None:
        super().__init__(config, nn.GroupNorm(1, config.width, eps=1e-5))


class InstanceNormBlock(_Block):
    """With statistics per image and channel, and no scale or bias."""

    def __init__(self, config: NormConfig) -> None:
        super().__init__(config, nn.InstanceNorm2d(config.width, eps=1e-5))


class ResponseNormBlock(_Block):
    """Divided by the energy of neighbouring channels; torch divides `alpha` by the number of neighbours."""

    def __init__(self, config: NormConfig) -> None:
        super().__init__(config, nn.LocalResponseNorm(3, alpha=0.5, beta=0.75, k=1.5))


class LayerNormBlock(nn.Module):
    """A norm over the last two axes, a dense layer, and a norm over the last axis."""

    def __init__(self, config: NormConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm([config.height, config.length], eps=1e-5)
        self.hidden = nn.Linear(config.length, config.width)
        self.last = nn.LayerNorm(config.width, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:  # (B, height, length) -> (B, height, width)
        return self.last(torch.tanh(self.hidden(self.norm(x))))


class RmsNormBlock(nn.Module):
    """Two norms without centring; torch's default epsilon is the machine epsilon of the computing dtype."""

    def __init__(self, config: NormConfig) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.length)
        self.hidden = nn.Linear(config.length, config.width)
        self.last = nn.RMSNorm(config.width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:  # (B, length) -> (B, width)
        return self.last(torch.tanh(self.hidden(self.norm(x))))


class Standardise(nn.Module):
    """Divides rows by their standard deviation, which torch takes with n - 1."""

    def forward(self, x: Tensor) -> Tensor:  # (B, n), both ways
        return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-3)


class Unit(nn.Module):
    """Divides rows by their length, but by no less than 1e-12."""

    def forward(self, x: Tensor) -> Tensor:  # (B, n), both ways
        return F.normalize(x, dim=-1)


class Rows(nn.Module):
    """Standardised rows through a dense layer to unit length."""

    def __init__(self, config: NormConfig) -> None:
        super().__init__()
        self.standardise = Standardise()
        self.hidden = nn.Linear(config.length, config.width)
        self.unit = Unit()

    def forward(self, x: Tensor) -> Tensor:  # (B, length) -> (B, width)
        return self.unit(self.hidden(self.standardise(x)))
