"""Resizing, spectra and preprocessing, Flax NNX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from jax import Array


class Linear(nnx.Module):
    """Bilinear, without a filter against aliasing: `jax.image.resize` has one unless told."""

    def __init__(self, height: int, width: int) -> None:
        self.size = (height, width)
        self.antialias = False

    def __call__(self, x: Array) -> Array:  # (B, C, H, W)
        return jax.image.resize(x, (*x.shape[:2], *self.size), "linear", antialias=self.antialias)


class Nearest(nnx.Module):
    """The pixel at floor(i n / m), as torch's `nearest` takes; `jax.image.resize` rounds at pixel centres."""

    def __init__(self, height: int, width: int) -> None:
        self.size = (height, width)

    def __call__(self, x: Array) -> Array:  # (B, C, H, W)
        rows, columns = (self.sources(n, m) for n, m in zip(x.shape[2:], self.size, strict=True))
        return x[:, :, rows][:, :, :, columns]

    def sources(self, size: int, wanted: int) -> Array:
        return jnp.arange(wanted) * size // wanted


class Cubic(nnx.Module):
    """Torch's bicubic kernel has the coefficient -0.75, and repeats the border; JAX's has -0.5 and renormalises."""

    def __init__(self, height: int, width: int) -> None:
        self.size = (height, width)
        self.coefficient = -0.75

    def __call__(self, x: Array) -> Array:  # (B, C, H, W)
        rows, columns = (self.weights(n, m) for n, m in zip(x.shape[2:], self.size, strict=True))
        return jnp.einsum("bchw,yh,xw->bcyx", x, rows.astype(x.dtype), columns.astype(x.dtype))

    def weights(self, size: int, wanted: int) -> Array:  # (wanted, size)
        centres = (jnp.arange(wanted, dtype=float) + 0.5) * size / wanted - 0.5
        taps = jnp.floor(centres)[:, None] + jnp.arange(-1, 3)
        values = self.kernel(jnp.abs(centres[:, None] - taps))
        at = jax.nn.one_hot(jnp.clip(taps, 0, size - 1).astype(int), size, dtype=float)
        return (values[:, :, None] * at).sum(1)

    def kernel(self, t: Array) -> Array:
        a = self.coefficient
        near = ((a + 2) * t - (a + 3)) * t * t + 1
        far = a * (((t - 5) * t + 8) * t - 4)
        return jnp.where(t <= 1, near, jnp.where(t < 2, far, 0))


class Resizes(nnx.Module):
    """Down and up, by interpolation and by the nearest pixel."""

    def __init__(self) -> None:
        self.linear = Linear(3, 5)
        self.nearest = Nearest(6, 11)
        self.cubic = Cubic(6, 11)

    def __call__(self, x: Array) -> dict[str, Array]:  # (B, C, 4, 7)
        return {"linear": self.linear(x), "nearest": self.nearest(x), "cubic": self.cubic(x)}


class Regions(nnx.Module):
    """Values at a grid of points within a box; pixel centres lie at halves."""

    def __init__(self) -> None:
        self.shift = 0.5

    def __call__(self, x: Array, boxes: Array) -> Array:  # (B, C, H, W), (B, 4) in [0, 1] -> (B, C, 2, 2)
        share = jnp.asarray([0.25, 0.75], x.dtype)
        rows = (boxes[:, :1] + boxes[:, 2:3] * share) * x.shape[2] - self.shift
        columns = (boxes[:, 1:2] + boxes[:, 3:] * share) * x.shape[3] - self.shift
        return jnp.einsum("bchw,bih,bjw->bcij", x, self.tent(rows, x.shape[2]), self.tent(columns, x.shape[3]))

    def tent(self, at: Array, size: int) -> Array:  # (B, 2) -> (B, 2, size)
        at = jnp.clip(at, 0, size - 1)
        return jnp.maximum(1 - jnp.abs(at[:, :, None] - jnp.arange(size)), 0)


class Spectra(nnx.Module):
    """Magnitudes of a centred short-time transform, and of a normalised transform of the whole signal."""

    def __init__(self, window: int = 8, hop: int = 3) -> None:
        self.window = window
        self.hop = hop
        self.taper = nnx.BatchStat(0.5 * (1 - jnp.cos(2 * jnp.pi * jnp.arange(window) / window)))

    def __call__(self, x: Array) -> tuple[Array, Array]:  # (B, n) -> (B, window / 2 + 1, frames), (B, n / 2 + 1)
        return self.short(x), self.whole(x)

    def short(self, x: Array) -> Array:
        padded = self.centred(x)
        starts = jnp.arange(0, padded.shape[1] - self.window + 1, self.hop)
        frames = padded[:, starts[:, None] + jnp.arange(self.window)] * self.taper[...]
        found = jnp.fft.rfft(frames, axis=-1)
        return (jnp.square(found.real) + jnp.square(found.imag)).swapaxes(1, 2)

    def centred(self, x: Array) -> Array:
        edge = self.window // 2
        if x.shape[1] <= edge:  # where torch refuses, and NumPy's rule reflects more than once
            raise ValueError(f"signal of length {x.shape[1]}: a window of {self.window} needs more than {edge} values")
        return jnp.pad(x, ((0, 0), (edge, edge)), mode="reflect")

    def whole(self, x: Array) -> Array:
        found = jnp.fft.rfft(x, norm="ortho")
        return jnp.square(found.real) + jnp.square(found.imag)


class Mel(nnx.Module):
    """Energies in triangular bands that are equally wide on the mel scale 2595 log10(1 + f / 700)."""

    def __init__(self, bands: int = 3, bins: int = 9, rate: float = 4000.0) -> None:
        self.bands = bands
        self.bins = bins
        self.rate = rate

    def __call__(self, energies: Array) -> Array:  # (B, bins) -> (B, bands)
        edges = self.edges()
        centres = jnp.linspace(0, self.rate / 2, self.bins, dtype=float)
        rising = (centres[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - centres[:, None]) / (edges[2:] - edges[1:-1])
        return energies @ jnp.maximum(jnp.minimum(rising, falling), 0).astype(energies.dtype)

    def edges(self) -> Array:  # (bands + 2,)
        highest = 2595 * math.log10(1 + self.rate / 2 / 700)
        return 700 * (10 ** (jnp.linspace(0, highest, self.bands + 2, dtype=float) / 2595) - 1)


class Preprocess(nnx.Module):
    """Bytes to normalised red, green, blue."""

    def __call__(self, x: Array) -> Array:  # (B, 3, H, W) integers in [0, 256)
        mean = jnp.asarray([0.5, 0.4, 0.3])[:, None, None]
        deviation = jnp.asarray([0.2, 0.3, 0.25])[:, None, None]
        return (self.channels(x) / 255.0 - mean) / deviation

    def channels(self, x: Array) -> Array:
        return x
