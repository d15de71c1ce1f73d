"""Reshapes, transposes and channel orders, Flax NNX. Images are NHWC inside and NCHW at the boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from jax import Array

    from models.catalogue.layout.config import HeadsConfig, ImageConfig, PixelsConfig


class Images(nnx.Module):
    """Two convolutions, flattened into two dense layers."""

    def __init__(self, config: ImageConfig, *, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(config.channels, config.width, (3, 3), padding="VALID", rngs=rngs)
        self.refine = nnx.Conv(config.width, config.width, (3, 3), padding="VALID", rngs=rngs)
        self.head = nnx.Linear(config.flat, config.outputs, rngs=rngs)
        self.mix = nnx.Linear(config.outputs, config.outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, C, H, W) -> (B, outputs)
        x = self.refine(jnp.tanh(self.conv(x.transpose(0, 2, 3, 1))))
        return self.mix(jnp.tanh(self.head(self.flatten(x))))

    def flatten(self, x: Array) -> Array:  # (B, H, W, C) -> (B, C * H * W)
        return x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # torch flattens channels first


class Heads(nnx.Module):
    """Splits a projection into heads, scales each by the scale of its group, and merges them again."""

    def __init__(self, config: HeadsConfig, *, rngs: nnx.Rngs) -> None:
        self.heads = config.heads
        self.project = nnx.Linear(config.width, config.width, rngs=rngs)
        self.scale = nnx.Param(jnp.arange(1.0, config.groups + 1.0))

    def __call__(self, x: Array) -> Array:  # (B, T, heads * size), both ways
        split = self.split(self.project(x))
        mixed = jnp.cumsum(jnp.tanh(split * self.scales()[:, None, None]), 2)
        return self.merge(mixed)

    def split(self, x: Array) -> Array:  # (B, T, heads * size) -> (B, heads, T, size)
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(0, 2, 1, 3)

    def scales(self) -> Array:  # (heads,)
        return jnp.repeat(self.scale[...], self.heads // self.scale.size)

    def merge(self, x: Array) -> Array:  # (B, heads, T, size) -> (B, T, heads * size)
        return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


class Tile(nnx.Module):
    """The pattern of a short parameter, repeated end to end along the features."""

    def __init__(self, config: HeadsConfig) -> None:
        self.heads = config.heads
        self.pattern = nnx.Param(jnp.linspace(0.5, 1.5, config.size))

    def __call__(self, x: Array) -> Array:  # (B, T, heads * size), both ways
        return x * jnp.tile(self.pattern[...], self.heads)  # torch's `repeat` is numpy's `tile`


class PixelShuffle(nnx.Module):
    """Channels to space; a channel's r x r block is contiguous."""

    def __init__(self, upscale: int) -> None:
        self.upscale = upscale

    def __call__(self, x: Array) -> Array:  # (B, H, W, C * r * r) -> (B, H * r, W * r, C)
        batch, height, width, _ = x.shape
        r = self.upscale
        x = x.reshape(batch, height, width, -1, r, r)
        return x.transpose(0, 1, 4, 2, 5, 3).reshape(batch, height * r, width * r, -1)


class ChannelShuffle(nnx.Module):
    """Splits the channels into contiguous groups and interleaves them."""

    def __init__(self, groups: int) -> None:
        self.groups = groups

    def __call__(self, x: Array) -> Array:  # (B, H, W, C), both ways
        return x.reshape(*x.shape[:3], self.groups, -1).swapaxes(3, 4).reshape(x.shape)


class Patches(nnx.Module):
    """Non-overlapping patches as a sequence; a patch runs over channels, rows, columns."""

    def __init__(self, patch: int) -> None:
        self.patch = patch

    def __call__(self, x: Array) -> Array:  # (B, H, W, C) -> (B, H / p * W / p, C * p * p)
        batch, height, width, channels = x.shape
        p = self.patch
        x = x.reshape(batch, height // p, p, width // p, p, channels)
        return x.transpose(0, 1, 3, 5, 2, 4).reshape(batch, -1, channels * p * p)


class Pixels(nnx.Module):
    """Channels to space, channels shuffled, space to a sequence of patches, projected."""

    def __init__(self, config: PixelsConfig, *, rngs: nnx.Rngs) -> None:
        self.upscale = PixelShuffle(config.upscale)
        self.shuffle = ChannelShuffle(config.groups)
        self.patches = Patches(config.patch)
        self.project = nnx.Linear(config.channels * config.patch**2, config.outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, C * r * r, H, W) -> (B, patches, outputs)
        return self.project(self.patches(self.shuffle(self.upscale(x.transpose(0, 2, 3, 1)))))


class Centre(nnx.Module):
    """Subtracts the mean of every row of a square matrix, a hard case: the axes' sizes coincide."""

    def __call__(self, x: Array) -> Array:  # (n, n), both ways
        return x - x.mean(1, keepdims=True)


class Density(nnx.Module):
    """Sums over an axis and divides by a constant that is not its size."""

    def __init__(self, volume: float = 4.0) -> None:
        self.volume = volume

    def __call__(self, x: Array) -> Array:  # (n, m) -> (n,)
        return x.sum(-1) / self.volume


class Rows(nnx.Module):
    """Centred rows of a square matrix, and the density of their squares."""

    def __init__(self) -> None:
        self.centre = Centre()
        self.density = Density()

    def __call__(self, x: Array) -> Array:  # (n, n) -> (n,)
        return self.density(jnp.square(self.centre(x)))
