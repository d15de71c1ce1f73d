"""Positions and decoding with a cache, torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from models.catalogue.attention.config import AttentionConfig


class Rotary(nn.Module):
    """Turns the first features of every head by the position, in halves, more slowly beyond the context."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, x: Tensor) -> Tensor:  # (B, heads, T, size), both ways
        turned, still = x[..., : self.config.rotated], x[..., self.config.rotated :]
        angles = self.angles(x.shape[2]).to(x.dtype)
        first, second = turned.chunk(2, -1)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([first * cos - second * sin, second * cos + first * sin, still], -1)

    def angles(self, length: int) -> Tensor:  # (T, rotated / 2)
        """Positions beyond the context count only in part."""
        half = self.config.rotated // 2
        steps = torch.arange(length, dtype=torch.float64)
        context = self.config.context
        steps = torch.where(steps < context, steps, context + (steps - context) / self.config.stretch)
        rates = self.config.base ** (-torch.arange(half, dtype=torch.float64) / half)
        return steps[:, None] * rates


class RotaryAttention(nn.Module):
    """Causal attention between turned queries and keys."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qk = nn.Linear(config.width, 2 * config.width, bias=False)
        self.rotary = Rotary(config)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C), both ways
        batch, length, width = x.shape
        split = [part.view(batch, length, self.heads, -1).transpose(1, 2) for part in (*self.qk(x).chunk(2, -1), x)]
        q, k, v = self.rotary(split[0]), self.rotary(split[1]), split[2]
        logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        weights = logits.masked_fill(future, -math.inf).softmax(-1)
        return (weights @ v).transpose(1, 2).reshape(batch, length, width)


class LearnedPositions(nn.Module):
    """Tokens with positions that count only what is no padding, offset by two, and optional segment types."""

    def __init__(self, config: AttentionConfig, *, vocabulary: int = 13, longest: int = 11) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, config.size)
        self.positions = nn.Embedding(longest, config.size)
        self.types = nn.Embedding(2, config.size)

    def forward(self, ids: Tensor, keep: Tensor, types: Tensor | None = None) -> Tensor:  # (B, T) -> (B, T, size)
        where = (keep.long().cumsum(1) - 1).clamp(min=0) + 2
        types = torch.zeros_like(ids) if types is None else types
        return torch.tanh(self.tokens(ids) + self.positions(where) + self.types(types))


class Decoder(nn.Module):
    """Attention over the last `window` steps, with a learned position per step: what a rolling cache computes."""

    def __init__(self, config: AttentionConfig, *, longest: int = 11) -> None:
        super().__init__()
        self.window = config.window
        self.positions = nn.Embedding(longest, config.size)
        self.query = nn.Linear(config.size, config.size)
        self.key = nn.Linear(config.size, config.size)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, size), both ways
        length = x.shape[1]
        x = x + self.positions(torch.arange(length))
        back = torch.arange(length)[:, None] - torch.arange(length)[None, :]
        logits = self.query(x) @ self.key(x).transpose(-1, -2)
        unseen = (back < 0) | (back >= self.window)
        return logits.masked_fill(unseen, -math.inf).softmax(-1) @ x
