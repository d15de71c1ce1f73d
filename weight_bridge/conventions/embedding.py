"""Embedding tables: (entries, features) everywhere."""

from __future__ import annotations

from weight_bridge.conventions.family import LayoutFamily
from weight_bridge.conventions.normalization import layouts

EMBEDDING = LayoutFamily(
    "embedding",
    frozenset(
        {"torch.Embedding", "torch.EmbeddingBag", "nnx.Embed", "linen.Embed", "equinox.Embedding", "haiku.Embed"}
    ),
    layouts,
)
