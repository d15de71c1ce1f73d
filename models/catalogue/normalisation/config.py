"""Sizes of the normalisation family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NormConfig:
    """Images through a convolution, a norm and a second convolution.

    Attributes:
      channels: of the images.
      width: normalised channels.
      groups: of a group norm; divides `width`.
      height: of the images.
      length: of the images' rows.
      outputs: channels at the end.
    """

    channels: int = 2
    width: int = 6
    groups: int = 3
    height: int = 4
    length: int = 5
    outputs: int = 7
