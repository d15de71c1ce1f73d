"""Which sizes a U-Net can halve and restore; no framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.networks.sizes import conv_out

if TYPE_CHECKING:
    from models.networks.config import ConvConfig, UNetConfig


def refuse_unet_sizes(name: str, obs_shape: tuple[int, ...], cfg: UNetConfig) -> None:
    """Refuse sizes that the halvings do not divide, and convolutions that change the size.

    Args:
        name: Who refuses.
        obs_shape: (C, *sizes).
        cfg: The network.

    Raises:
        ValueError: It would fail, or give another size than it was given.

    Example:
        >>> from models.networks import ConvConfig, UNetConfig
        >>> cfg = UNetConfig(channels=(4, 6), conv_cfg=ConvConfig("ReLU", kernel_size=3, stride=1, padding=1))
        >>> refuse_unet_sizes("ConditionalUnet2d", (2, 5, 8), cfg)
        Traceback (most recent call last):
        ...
        ValueError: ConditionalUnet2d: 2 levels of channels halve the input 1 times, so each of its sizes must be
        divisible by 2, got 5 × 8
    """
    halvings = len(cfg.channels) - 1
    sizes = obs_shape[1:]
    if any(size % 2**halvings for size in sizes):
        raise ValueError(
            f"{name}: {halvings + 1} levels of channels halve the input {halvings} times, so each of its sizes "
            f"must be divisible by {2**halvings}, got {' × '.join(map(str, sizes))}"
        )
    for size in sizes:
        for level in range(halvings + 1):
            before = size // 2**level
            after = _convolved(before, cfg.conv_cfg)
            if after != before:
                raise ValueError(
                    f"{name}: conv_cfg must keep the size (for instance stride 1 and padding (kernel_size − 1) / 2), "
                    f"but it makes {after:g} of {before}"
                )


def _convolved(size: int, cfg: ConvConfig) -> float:
    """Return the size behind a convolution and its shuffle."""
    out = conv_out(size, cfg.padding, cfg.kernel_size, cfg.stride, cfg.dilation)
    return out * cfg.scale_factor if cfg.scale_factor > 0 else out / max(-cfg.scale_factor, 1)
