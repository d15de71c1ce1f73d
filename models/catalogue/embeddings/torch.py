"""Embeddings, positions and tied heads, torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from models.catalogue.embeddings.config import EmbeddingConfig


class LogProbabilities(nn.Module):
    """Log-probabilities of the true vocabulary; the rows that only pad the table take no part."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    def forward(self, logits: Tensor) -> Tensor:  # (..., padded) -> (..., vocabulary)
        return logits[..., : self.vocabulary].log_softmax(-1)


class Language(nn.Module):
    """Scaled tokens plus positions, a dense layer, and a head with the weights of the embedding."""

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.offset = config.offset
        self.tokens = nn.Embedding(config.padded, config.width)
        self.positions = nn.Embedding(config.longest, config.width)
        self.hidden = nn.Linear(config.width, config.width)
        self.head = nn.Linear(config.width, config.padded, bias=False)
        self.head.weight = self.tokens.weight
        self.log_probabilities = LogProbabilities(config.vocabulary)

    def forward(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, T, vocabulary)
        where = torch.arange(ids.shape[1]) + self.offset
        x = self.tokens(ids) * math.sqrt(self.tokens.embedding_dim) + self.positions(where)
        return self.log_probabilities(self.head(torch.tanh(self.hidden(x))))


class Bag(nn.Module):
    """Means over bags of tokens, without the padding token."""

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(config.longest, config.width, mode="mean", padding_idx=config.padding)
        self.head = nn.Linear(config.width, 3)

    def forward(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, 3)
        return self.head(self.bag(ids))


class Bounded(nn.Module):
    """An embedding whose rows are cut to a largest norm before they are used."""

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.longest, config.width, max_norm=1.5)
        self.head = nn.Linear(config.width, 3)

    def forward(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, T, 3)
        return self.head(self.tokens(ids))


class Frequency(nn.Module):
    """An embedding whose gradient is divided by how often a token occurs, and stops at the padding token."""

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.longest, config.width, padding_idx=config.padding, scale_grad_by_freq=True)
        self.head = nn.Linear(config.width, 3)

    def forward(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, T, 3)
        return self.head(self.tokens(ids))
