"""Convolutions, padding and pooling, Flax NNX. Channels are last inside and second at the boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from flax import nnx
from jax import lax

if TYPE_CHECKING:
    from jax import Array

    from models.catalogue.convolution.config import CausalConfig, ConvolutionConfig

Padding = tuple[tuple[int, int], tuple[int, int]]


class Convolutions(nnx.Module):
    """An unpadded, a dilated and a strided convolution, averaged over all positions into a dense layer."""

    def __init__(self, config: ConvolutionConfig, *, rngs: nnx.Rngs) -> None:
        self.plain = nnx.Conv(config.channels, config.width, (3, 3), padding="VALID", rngs=rngs)  # not SAME
        self.dilated = nnx.Conv(
            config.width, config.hidden, (3, 3), padding=2, kernel_dilation=2, use_bias=False, rngs=rngs
        )
        self.strided = nnx.Conv(config.hidden, config.width, (3, 3), strides=2, padding=1, rngs=rngs)
        self.head = nnx.Linear(config.width, config.outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, C, H, W) -> (B, outputs)
        x = jnp.tanh(self.dilated(jnp.tanh(self.plain(x.transpose(0, 2, 3, 1)))))
        return self.head(jnp.tanh(self.strided(x)).mean((1, 2)))


class ZeroPad(nnx.Module):
    """Zeros around the positions of an image."""

    def __init__(self, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        self.rows = rows
        self.columns = columns

    def __call__(self, x: Array) -> Array:  # (B, H, W, C)
        return jnp.pad(x, ((0, 0), self.rows, self.columns, (0, 0)))


class MirrorConv(nnx.Conv):
    """A convolution of an image with mirrored borders; the edge itself is not repeated."""

    def __call__(self, x: Array) -> Array:  # (B, H, W, C), H and W kept
        return super().__call__(self.mirror(x))

    def mirror(self, x: Array) -> Array:
        return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")


class Padded(nnx.Module):
    """Mirrored borders inside a convolution, then unequal zeros around a second one."""

    def __init__(self, config: ConvolutionConfig, *, rngs: nnx.Rngs) -> None:
        self.mirror = MirrorConv(config.channels, config.width, (3, 3), padding="VALID", rngs=rngs)
        self.pad = ZeroPad(rows=(3, 0), columns=(1, 2))
        self.conv = nnx.Conv(config.width, config.hidden, (3, 3), padding="VALID", rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, C, H, W) -> (B, hidden, H + 1, W + 1)
        x = jnp.tanh(self.mirror(x.transpose(0, 2, 3, 1)))
        return self.conv(self.pad(x)).transpose(0, 3, 1, 2)


class MaxPool(nnx.Module):
    """Largest value of each window; what lies outside the image never wins."""

    def __init__(self, window: int, stride: int, padding: int) -> None:
        self.window = window
        self.stride = stride
        self.padding = padding

    def __call__(self, x: Array) -> Array:  # (B, H, W, C)
        own = (self.padding, self.padding)
        pads: Any = ((0, 0), own, own, (0, 0))
        window, strides = (1, self.window, self.window, 1), (1, self.stride, self.stride, 1)
        return lax.reduce_window(x, self.outside(), lax.max, window, strides, pads)

    def outside(self) -> float:
        return -jnp.inf


class AvgPool(nnx.Module):
    """Mean of each window. Zeros of the padding count; cells beyond it, which `ceil_mode` adds, do not."""

    def __init__(self, window: int, stride: int, padding: int = 0, ceil_mode: bool = False) -> None:
        self.window = window
        self.stride = stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = True

    def __call__(self, x: Array) -> Array:  # (B, H, W, C)
        extra = tuple(self.extra(size) for size in x.shape[1:3])
        own = ((self.padding, self.padding),) * 2
        padded = jnp.pad(jnp.ones_like(x), ((0, 0), *own, (0, 0)), constant_values=self.count_include_pad)
        beyond = ((0, extra[0]), (0, extra[1]))
        total = self.sums(x, tuple((low, high + more) for (low, high), (_, more) in zip(own, beyond, strict=True)))  # pyright: ignore[reportArgumentType]  # a pair of pairs
        return total / self.sums(padded, beyond)

    def extra(self, size: int) -> int:
        """Cells beyond the padding that the last window of an axis covers under `ceil_mode`."""
        left_over = (size + 2 * self.padding - self.window) % self.stride
        return self.stride - left_over if self.ceil_mode and left_over else 0

    def sums(self, x: Array, padding: Padding) -> Array:
        window, strides = (1, self.window, self.window, 1), (1, self.stride, self.stride, 1)
        return lax.reduce_window(x, 0.0, lax.add, window, strides, ((0, 0), *padding, (0, 0)))


class AdaptiveAvgPool(nnx.Module):
    """Means of as many bins as asked for; bin i runs from floor(i n / m) to ceil((i + 1) n / m)."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows = rows
        self.columns = columns

    def __call__(self, x: Array) -> Array:  # (B, H, W, C) -> (B, rows, columns, C)
        return self.bins(self.bins(x, 1, self.rows), 2, self.columns)

    def bins(self, x: Array, axis: int, count: int) -> Array:
        size = x.shape[axis]
        edges = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        return jnp.stack([lax.slice_in_dim(x, a, b, axis=axis).mean(axis) for a, b in edges], axis)


class Pools(nnx.Module):
    """Largest of overlapping windows, means of windows that leave the image, means of uneven bins."""

    def __init__(self) -> None:
        self.largest = MaxPool(3, 2, 1)
        self.average = AvgPool(3, 2, 1, ceil_mode=True)
        self.adaptive = AdaptiveAvgPool(2, 3)

    def __call__(self, x: Array) -> Array:  # (B, C, H, W) -> (B, C, 2, 3)
        x = self.average(self.largest(x.transpose(0, 2, 3, 1)))
        return self.adaptive(jnp.tanh(x)).transpose(0, 3, 1, 2)


class WindowMean(nnx.Module):
    """Means of windows that do not overlap, then the mean over all positions."""

    def __init__(self) -> None:
        self.pool = AvgPool(2, 2)

    def __call__(self, x: Array) -> Array:  # (B, C, H, W) -> (B, C)
        return jnp.tanh(self.pool(x.transpose(0, 2, 3, 1))).mean((1, 2))


class Transposed(nnx.Module):
    """Two transposed convolutions, of an odd and an even kernel, and a crop."""

    def __init__(self, config: ConvolutionConfig, *, rngs: nnx.Rngs) -> None:
        # Flax pads what a stride-1 convolution over the spread input needs: kernel - 1 - torch's padding on
        # the left, and the output padding more on the right.
        self.odd = nnx.ConvTranspose(
            config.channels, config.width, (3, 3), strides=(2, 2), padding=((1, 2), (1, 2)),
            transpose_kernel=True, rngs=rngs,
        )  # fmt: skip
        self.even = nnx.ConvTranspose(
            config.width, config.hidden, (4, 4), strides=(2, 2), padding=((2, 2), (2, 2)),
            transpose_kernel=True, rngs=rngs,
        )  # fmt: skip

    def __call__(self, x: Array) -> Array:  # (B, C, H, W) -> (B, hidden, 4H - 1, 4W - 1)
        x = self.even(jnp.tanh(self.odd(x.transpose(0, 2, 3, 1))))
        return x.transpose(0, 3, 1, 2)[:, :, 1:, 1:]


class Causal(nnx.Module):
    """A convolution over time that sees no later step."""

    def __init__(self, config: CausalConfig, *, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(
            config.channels, config.outputs, (config.kernel,),
            padding=((config.past, 0),), kernel_dilation=config.dilation, rngs=rngs,
        )  # fmt: skip

    def __call__(self, x: Array) -> Array:  # (B, C, T) -> (B, outputs, T)
        return self.conv(x.swapaxes(1, 2)).swapaxes(1, 2)
