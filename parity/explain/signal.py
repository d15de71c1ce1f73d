"""Resizing, sampling and spectra: coefficients, pixel centres, borders, scales."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.suspect import Hypothesis, at, changed


def resizing(op: Op) -> Iterator[Hypothesis]:
    """Coefficients and rules of resizing beyond those of `padding`."""
    if op.given.get("mode") == "bicubic" and op.args[0].ndim == 4:
        for a in (-0.5, -0.75, -1.0):
            yield at(op, "resize-bicubic-coefficient", lambda o, c=a: _bicubic(o, c), f"coefficient {a}")
    if op.given.get("mode", "nearest") == "nearest" and op.args[0].ndim == 4:
        yield at(op, "resize-nearest-rule", _by_centres, "the nearest pixel by pixel centres")


def _axis(size: int, wanted: int, a: float, *, x: Tensor) -> Tensor:
    """A matrix (wanted, size) that resizes an axis cubically, with half-pixel centres and clamped borders."""
    centres = (torch.arange(wanted, dtype=x.dtype) + 0.5) * size / wanted - 0.5
    first = torch.floor(centres).long() - 1
    matrix = torch.zeros(wanted, size, dtype=x.dtype)
    for k in range(4):
        distance = (centres - (first + k)).abs()
        near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
        far = a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a
        weight = torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(far)))
        matrix.scatter_add_(1, (first + k).clamp(0, size - 1)[:, None], weight[:, None])
    return matrix


def _bicubic(op: Op, a: float) -> Tensor:
    x = op.args[0]
    height, width = op.again().shape[-2:]
    rows, columns = _axis(x.shape[-2], height, a, x=x), _axis(x.shape[-1], width, a, x=x)
    return rows @ x @ columns.T


def _by_centres(op: Op) -> Tensor:
    x = op.args[0]
    height, width = op.again().shape[-2:]
    rows = torch.floor((torch.arange(height) + 0.5) * x.shape[-2] / height).long()
    columns = torch.floor((torch.arange(width) + 0.5) * x.shape[-1] / width).long()
    return x[..., rows, :][..., columns]


def sampling(op: Op) -> Iterator[Hypothesis]:
    """Pixel centres and borders of sampling at points."""
    corners = bool(op.kwargs.get("align_corners", False))
    yield changed(op, "roi-half-pixel", "align_corners", not corners)
    for sign in (1, -1):
        yield at(op, "roi-half-pixel", lambda o, s=sign: _moved(o, s), "pixel centres at whole numbers")
    for mode in ("zeros", "border", "reflection"):
        if mode != op.kwargs.get("padding_mode", "zeros"):
            yield changed(op, "sampling-border", "padding_mode", mode)
    other = "nearest" if op.kwargs.get("mode", "bilinear") == "bilinear" else "bilinear"
    yield changed(op, "resize-mode", "mode", other)


def _moved(op: Op, sign: int) -> Tensor:
    """The grid moved by half a pixel."""
    x, grid = op.args[:2]
    half = torch.tensor([1 / x.shape[-1], 1 / x.shape[-2]], dtype=grid.dtype)
    return op.function(x, grid + sign * half, *op.args[2:], **op.kwargs)


def spectrum(op: Op) -> Iterator[Hypothesis]:
    """Borders, centring, windows and sides of a short-time transform."""
    for mode in ("constant", "reflect", "replicate"):
        yield at(op, "stft-centering", lambda o, m=mode: _stft(o, pad_mode=m), f"{mode} padding")
    yield at(op, "stft-centering", lambda o: _stft(o, center=False), "not centred")
    yield at(op, "stft-window", lambda o: _stft(o, window=None), "no window")
    yield at(op, "fft-normalisation", lambda o: _stft(o, normalized=True), "normalised")


def _stft(op: Op, **changes: Any) -> Any:
    names = ("input", "n_fft", "hop_length", "win_length", "window", "center", "pad_mode", "normalized")
    given = {**dict(zip(names, op.args, strict=False)), **op.kwargs, **changes}
    return torch.stft(**given)


def transform(op: Op) -> Iterator[Hypothesis]:
    """The scale of a transform."""
    own = op.kwargs.get("norm") or "backward"
    for norm in ("backward", "ortho", "forward"):
        if norm != own:
            yield changed(op, "fft-normalisation", "norm", norm)


def mel(op: Op) -> Iterator[Hypothesis]:
    """Edges of bands on the mel scale 2595 log10(1 + f / 700), where Slaney's is linear up to 1000 Hz."""
    edges = op.result
    if 700 in [a for a in op.args if isinstance(a, int | float)] and isinstance(edges, Tensor) and edges.ndim == 1:
        rising = bool((edges[1:] > edges[:-1]).all()) and abs(float(edges[0])) < 1e-6
        if rising and len(edges) > 2:
            yield at(op, "mel-variant", lambda o: _slaney(o.again()), "Slaney's scale")


def _slaney(edges: Tensor) -> Tensor:
    """As many edges up to the same frequency, equally spaced on Slaney's scale."""
    top = float(edges[-1])
    step = math.log(6.4) / 27
    highest = 15 + math.log(top / 1000) / step if top >= 1000 else 3 * top / 200
    mels = torch.linspace(0, highest, len(edges), dtype=edges.dtype)
    return torch.where(mels < 15, 200 * mels / 3, 1000 * torch.exp(step * (mels - 15)))


FAMILY = Family(
    "signal",
    {
        "interpolate": resizing,
        "grid_sample": sampling,
        "grid_sampler": sampling,
        "stft": spectrum,
        "mul": mel,
        **{f"{side}fft{n}": transform for side in ("", "i", "r", "ir") for n in ("", "2", "n")},
        **{f"fft_{side}fft{n}": transform for side in ("", "i", "r", "ir") for n in ("", "2", "n")},
    },
)
