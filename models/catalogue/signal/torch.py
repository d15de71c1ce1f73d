"""Resizing, spectra and preprocessing, torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Resize(nn.Module):
    """Images in another size, without a filter against aliasing."""

    def __init__(self, height: int, width: int, mode: str) -> None:
        super().__init__()
        self.size = (height, width)
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        if self.mode == "nearest":
            return F.interpolate(x, self.size, mode="nearest")
        return F.interpolate(x, self.size, mode=self.mode, align_corners=False)


class Resizes(nn.Module):
    """Down and up, by interpolation and by the nearest pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = Resize(3, 5, "bilinear")
        self.nearest = Resize(6, 11, "nearest")
        self.cubic = Resize(6, 11, "bicubic")

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # (B, C, 4, 7)
        return {name: child(x) for name, child in self.named_children()}


class Regions(nn.Module):
    """Values at a grid of points within a box; pixel centres lie at halves."""

    def forward(self, x: Tensor, boxes: Tensor) -> Tensor:  # (B, C, H, W), (B, 4) in [0, 1] -> (B, C, 2, 2)
        low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
        share = torch.tensor([0.25, 0.75], dtype=x.dtype)
        rows = (low[:, :1] + (high - low)[:, :1] * share) * 2 - 1
        columns = (low[:, 1:] + (high - low)[:, 1:] * share) * 2 - 1
        grid = torch.stack([columns[:, None, :].expand(-1, 2, -1), rows[:, :, None].expand(-1, -1, 2)], -1)
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


class Spectra(nn.Module):
    """Magnitudes of a centred short-time transform, and of a normalised transform of the whole signal."""

    taper: Tensor

    def __init__(self, window: int = 8, hop: int = 3) -> None:
        super().__init__()
        self.window = window
        self.hop = hop
        self.register_buffer("taper", torch.hann_window(window))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (B, n) -> (B, window / 2 + 1, frames), (B, n / 2 + 1)
        short = torch.stft(x, self.window, self.hop, window=self.taper, return_complex=True)
        whole = torch.fft.rfft(x, norm="ortho")
        return short.real.square() + short.imag.square(), whole.real.square() + whole.imag.square()


class Mel(nn.Module):
    """Energies in triangular bands that are equally wide on the mel scale 2595 log10(1 + f / 700)."""

    def __init__(self, bands: int = 3, bins: int = 9, rate: float = 4000.0) -> None:
        super().__init__()
        self.bands = bands
        self.bins = bins
        self.rate = rate

    def forward(self, energies: Tensor) -> Tensor:  # (B, bins) -> (B, bands)
        highest = 2595 * math.log10(1 + self.rate / 2 / 700)
        mels = torch.linspace(0, highest, self.bands + 2, dtype=torch.float64)
        edges = 700 * (10 ** (mels / 2595) - 1)
        centres = torch.linspace(0, self.rate / 2, self.bins, dtype=torch.float64)
        rising = (centres[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - centres[:, None]) / (edges[2:] - edges[1:-1])
        return energies @ torch.minimum(rising, falling).clamp(min=0).to(energies.dtype)


class Preprocess(nn.Module):
    """Bytes to normalised red, green, blue."""

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, H, W) integers in [0, 256)
        mean = torch.tensor([0.5, 0.4, 0.3])[:, None, None]
        deviation = torch.tensor([0.2, 0.3, 0.25])[:, None, None]
        return (x / 255.0 - mean) / deviation
