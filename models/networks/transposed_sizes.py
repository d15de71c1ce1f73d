"""Sizes along a stack of transposed convolutions, and the output padding that makes them fit; no framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.networks.sizes import conv_transpose_in_shape, conv_transpose_out_shape, output_padding_shape

if TYPE_CHECKING:
    from models.networks.config import ConvConfig, ConvNetConfig


def _geometry(cfg: ConvConfig) -> tuple[int, int, int, int]:
    return cfg.padding, cfg.kernel_size, cfg.stride, cfg.dilation


def _chain(obs_shape: tuple[int, ...], cfg: ConvNetConfig) -> list[tuple[int, ...]]:
    """Return the sizes (H, W) from the input to the output, walked backwards without output padding."""
    sizes = [tuple(obs_shape[1:])]
    for layer in reversed(cfg.conv_cfgs):
        sizes.insert(0, conv_transpose_in_shape(sizes[0], *_geometry(layer)))
    return sizes


def get_input_shape(obs_shape: tuple[int, ...], cfg: ConvNetConfig) -> tuple[int, int, int]:
    """Return the (C, H, W) from which the layers make `obs_shape`.

    Args:
        obs_shape: (C, H, W) of the output.
        cfg: The layers; their output padding is not heeded.
    """
    height, width = _chain(obs_shape, cfg)[0]
    return (cfg.init_channel, height, width)


def output_paddings(
    in_shape: tuple[int, ...], obs_shape: tuple[int, ...], cfg: ConvNetConfig
) -> list[int | tuple[int, ...]]:
    """Return each layer's output padding: the config's, or where the sizes would miss `obs_shape`, what they lack.

    Args:
        in_shape: (C, H, W) of the input.
        obs_shape: (C, H, W) of the output.
        cfg: The layers.

    Raises:
        AssertionError: Unequal numbers of channels and layer configs, or sizes that do not lead to `obs_shape`.
    """
    assert len(cfg.channels) == len(cfg.conv_cfgs), (
        f"ConvTranspose: expected one config per channel, got {len(cfg.channels)} channels and "
        f"{len(cfg.conv_cfgs)} configs"
    )
    reached = tuple(in_shape[1:])
    for layer in cfg.conv_cfgs:
        reached = conv_transpose_out_shape(reached, *_geometry(layer))
    if reached == tuple(obs_shape[1:]):
        return [layer.output_padding for layer in cfg.conv_cfgs]
    sizes = _chain(obs_shape, cfg)
    unset = all(layer.output_padding == 0 for layer in cfg.conv_cfgs)
    fits = unset and tuple(in_shape[1:]) == sizes[0]
    assert fits, (
        f"ConvTranspose: the layers make {reached} of {tuple(in_shape[1:])}, expected {tuple(obs_shape[1:])}; "
        f"an input of {sizes[0]} without output_padding in the configs would fit"
    )
    steps = zip(sizes, sizes[1:], cfg.conv_cfgs, strict=False)
    return [output_padding_shape(after, before, *_geometry(layer)) for before, after, layer in steps]
