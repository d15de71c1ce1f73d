"""Sizes of the attention family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AttentionConfig:
    """Self-attention with heads.

    Attributes:
      heads: number of heads; no power of two.
      size: of a head.
      base: of the rotary angles.
      rotated: features of a head that rotary positions turn; the rest stay.
      context: length that the model was trained on; beyond it, rotary angles are slowed down by `stretch`.
      stretch: factor of that.
      window: of windowed attention; also the number of cached steps in decoding.
      buckets: of relative distances.
      farthest: distance at which the last bucket begins.
    """

    heads: int = 6
    size: int = 8
    base: float = 100.0
    rotated: int = 4
    context: int = 5
    stretch: float = 3.0
    window: int = 4
    buckets: int = 8
    farthest: int = 9

    @property
    def width(self) -> int:
        """Of the sequence."""
        return self.heads * self.size
