"""Sizes of the embedding family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EmbeddingConfig:
    """Tokens through an embedding, a dense layer, and a head that shares the embedding's weights.

    Attributes:
      vocabulary: number of tokens; beyond 256, so that a half-precision id is not exact.
      padded: rows of the table; those beyond the vocabulary are there for speed.
      width: of the embedding.
      longest: sequence.
      offset: position of the first step in the table of positions.
      padding: the token that stands for none.
    """

    vocabulary: int = 601
    padded: int = 608
    width: int = 6
    longest: int = 11
    offset: int = 2
    padding: int = 1
