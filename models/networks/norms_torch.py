"""Normalisation layers by name, torch."""

from __future__ import annotations

from typing import Any

from torch import nn

_NORMS: dict[str, type[nn.Module]] = {
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,  # its default epsilon is the machine epsilon of the computing dtype
    "group": nn.GroupNorm,
    "batch2d": nn.BatchNorm2d,
    "batch1d": nn.BatchNorm1d,
}


def get_norm(norm: str, **kwargs: Any) -> nn.Module:
    """Build a normalisation layer.

    Args:
        norm: "layer", "rms", "group", "batch2d" or "batch1d"; any other string means none.
        **kwargs: Arguments of the torch layer; ignored without one.

    Returns:
        The layer, or `nn.Identity`.

    Example:
        >>> get_norm("layer", normalized_shape=3).weight.shape
        torch.Size([3])
    """
    return _NORMS[norm](**kwargs) if norm in _NORMS else nn.Identity()
