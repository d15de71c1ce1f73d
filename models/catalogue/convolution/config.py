"""Sizes of the convolution family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ConvolutionConfig:
    """Channels of a short convolutional network.

    Attributes:
      channels: of the images.
      width: of the first convolution.
      hidden: of the second.
      outputs: features at the end.
    """

    channels: int = 2
    width: int = 5
    hidden: int = 3
    outputs: int = 7


@dataclass(frozen=True)
class CausalConfig:
    """A causal convolution over time.

    Attributes:
      channels: of the sequence.
      outputs: channels after it.
      kernel: steps that it sees.
      dilation: between them.
    """

    channels: int = 2
    outputs: int = 5
    kernel: int = 3
    dilation: int = 2

    @property
    def past(self) -> int:
        """Steps of padding on the left."""
        return self.dilation * (self.kernel - 1)
