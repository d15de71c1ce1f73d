"""Attention with masks, torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from models.catalogue.attention.config import AttentionConfig


class SelfAttention(nn.Module):
    """Causal self-attention with a padding mask (true: may be seen) and one projection for q, k and v."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:  # (B, T, C), (B, T) -> (B, T, C)
        batch, length, width = x.shape
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        seen = torch.ones(length, length, dtype=torch.bool).tril() & keep[:, None, None, :]
        seen = seen | torch.eye(length, dtype=torch.bool)  # a step always sees itself
        mixed = F.scaled_dot_product_attention(q, k, v, seen)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class StockAttention(nn.Module):
    """Torch's own layer; in its mask of keys, true means: may not be seen."""

    def __init__(self, config: AttentionConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(config.width, config.heads, dropout, batch_first=True)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:  # (B, T, C), (B, T) -> (B, T, C)
        return self.attention(x, x, x, key_padding_mask=~keep, need_weights=False)[0]


class Windows(nn.Module):
    """Attention within windows that are shifted by half a window, so that the last one wraps around."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.window = config.window
        self.shift = config.window // 2
        self.query = nn.Linear(config.width, config.size)
        self.key = nn.Linear(config.width, config.size)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C), T a multiple of the window
        batch, length, width = x.shape
        rolled = x.roll(-self.shift, 1).view(batch, -1, self.window, width)
        region = self.regions(length).view(-1, self.window)
        apart = region[:, :, None] != region[:, None, :]
        logits = self.query(rolled) @ self.key(rolled).transpose(-1, -2)
        weights = logits.masked_fill(apart, -math.inf).softmax(-1)
        return (weights @ rolled).reshape(batch, length, width).roll(self.shift, 1)

    def regions(self, length: int) -> Tensor:  # (T,)
        """Numbers the stretches that may see each other: what wrapped around is apart from the end."""
        region = torch.zeros(length, dtype=torch.long)
        region[length - self.shift :] = 1
        return region


class Alibi(nn.Module):
    """Attention that fades with distance, by a slope per head."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C), both ways
        batch, length, width = x.shape
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        steps = torch.arange(length)
        distance = (steps[None, :] - steps[:, None]).abs().to(x.dtype)
        logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        logits = logits - torch.tensor(slopes(self.heads), dtype=x.dtype)[:, None, None] * distance
        return (logits.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width)


def slopes(heads: int) -> list[float]:
    """A geometric series for a power of two; for others, every second one of the next power's fills up."""
    below = 2 ** math.floor(math.log2(heads))
    found = [2.0 ** (-8.0 * (i + 1) / below) for i in range(below)]
    if heads > below:
        found += [2.0 ** (-4.0 * (2 * i + 1) / below) for i in range(heads - below)]
    return found


class Buckets(nn.Module):
    """A learned bias per head and bucket of distance: exact for near steps, logarithmic for far ones."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.buckets = config.buckets
        self.farthest = config.farthest
        self.bias = nn.Embedding(config.buckets, config.heads)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, heads, T, C)
        steps = torch.arange(x.shape[1])
        bias = self.bias(self.bucket(steps[None, :] - steps[:, None]))  # (T, T, heads)
        return bias.permute(2, 0, 1).softmax(-1) @ x[:, None]

    def bucket(self, distance: Tensor) -> Tensor:
        half = self.buckets // 2  # the upper half is for later steps
        exact = half // 2
        far = distance.abs()
        ratio = torch.log(far.clamp(min=1) / exact) / math.log(self.farthest / exact)
        coarse = (exact + (ratio * (half - exact)).long()).clamp(max=half - 1)
        return torch.where(far < exact, far, coarse) + half * (distance > 0)
