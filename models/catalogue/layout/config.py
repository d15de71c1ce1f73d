"""Sizes of the layout family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageConfig:
    """A convolution, a second one as wide as its input, and two dense layers.

    Attributes:
      channels: of the images.
      width: of both convolutions; the second is square on purpose.
      height: of the images.
      length: of the images' rows.
      outputs: of both dense layers; the second is square on purpose.
    """

    channels: int = 2
    width: int = 5
    height: int = 6
    length: int = 8
    outputs: int = 7

    @property
    def flat(self) -> int:
        """Features after two unpadded 3x3 convolutions."""
        return self.width * (self.height - 4) * (self.length - 4)


@dataclass(frozen=True)
class HeadsConfig:
    """Heads of a sequence, in groups that share a scale.

    Attributes:
      heads: number of heads.
      groups: number of shared scales; divides `heads`.
      size: of a head.
    """

    heads: int = 6
    groups: int = 2
    size: int = 5

    @property
    def width(self) -> int:
        """Of the sequence."""
        return self.heads * self.size


@dataclass(frozen=True)
class PixelsConfig:
    """Depth to space, a channel shuffle, and patches.

    Attributes:
      upscale: factor of the pixel shuffle.
      groups: of the channel shuffle.
      channels: after the pixel shuffle; a multiple of `groups`.
      patch: side of a patch.
      outputs: of the projection of patches.
    """

    upscale: int = 2
    groups: int = 3
    channels: int = 6
    patch: int = 2
    outputs: int = 7
