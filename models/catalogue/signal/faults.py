"""How ports get resizing, spectra and preprocessing wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from models.catalogue.signal.pair import MEL, PREPROCESS, REGIONS, RESIZES, SPECTRA
from parity.faults import around, at, family, setting

if TYPE_CHECKING:
    from jax import Array


def _half_pixel(original: Any, size: int, wanted: int) -> Array:
    return jnp.floor((jnp.arange(wanted) + 0.5) * size / wanted).astype(int)


def _backward(original: Any, x: Array) -> Array:
    found = jnp.fft.rfft(x)
    return jnp.square(found.real) + jnp.square(found.imag)


def _slaney(original: Any) -> Array:
    """Linear below 1000 Hz, logarithmic above."""
    mel = original.__self__
    highest = 15 + 27 * jnp.log(mel.rate / 2 / 1000) / jnp.log(6.4)
    mels = jnp.linspace(0, highest, mel.bands + 2, dtype=float)
    return jnp.where(mels < 15, 200 * mels / 3, 1000 * 6.4 ** ((mels - 15) / 27))


FAULTS = family(
    "signal",
    at(
        *(RESIZES, "linear", "resize-antialias", "a filter against aliasing, JAX's default"),
        setting(antialias=True),
    ),
    at(
        *(RESIZES, "nearest", "resize-nearest-rule", "the nearest pixel by pixel centres"),
        around("sources", _half_pixel),
        causes=("resize-nearest-rounding",),
    ),
    at(
        *(RESIZES, "cubic", "resize-bicubic-coefficient", "JAX's coefficient, -0.5"),
        setting(coefficient=-0.5),
    ),
    at(
        *(REGIONS, "", "roi-half-pixel", "pixel centres at whole numbers"),
        setting(shift=0.0),
    ),
    at(
        *(SPECTRA, "", "stft-centering", "zeros in place of the mirrored signal"),
        around("centred", lambda original, x: jnp.pad(x, ((0, 0), (original.__self__.window // 2,) * 2))),
    ),
    at(
        *(SPECTRA, "", "fft-normalisation", "the transform is not normalised"),
        around("whole", _backward),
        causes=("constant-factor",),
    ),
    at(
        *(MEL, "", "mel-variant", "the other mel scale"),
        around("edges", _slaney),
    ),
    at(
        *(PREPROCESS, "", "preprocess-mismatch", "blue, green, red"),
        around("channels", lambda original, x: x[:, ::-1]),
    ),
)
