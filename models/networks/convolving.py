"""What a convolution's config makes of its keyword arguments, in either framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.networks.config import ConvConfig

_BOTH = ("kernel_size", "stride", "padding", "dilation", "groups", "bias")


def convolution_arguments(cfg: ConvConfig) -> dict[str, Any]:
    """Return what a convolution is built with, beside its channels.

    Example:
        >>> from models.networks import ConvConfig
        >>> convolution_arguments(ConvConfig("ReLU", kernel_size=3, stride=2, padding=1))["stride"]
        2
    """
    return {name: getattr(cfg, name) for name in (*_BOTH, "padding_mode")}


def transposed_arguments(cfg: ConvConfig) -> dict[str, Any]:
    """Return what a transposed convolution is built with, beside its channels."""
    return {name: getattr(cfg, name) for name in (*_BOTH, "output_padding")}
