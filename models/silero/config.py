"""What the voice detector is built from; the defaults are those of the pretrained one for 16 kHz."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SileroConfig:
    """Sizes of a voice detector.

    Attributes:
      n_fft: samples of one spectrum, even.
      hop: samples between two spectra.
      pad: samples mirrored behind a chunk.
      channels: width of each convolution; the last is the recurrent cell's too.
    """

    n_fft: int = 256
    hop: int = 128
    pad: int = 64
    channels: tuple[int, int, int, int] = (128, 64, 64, 128)

    @property
    def bins(self) -> int:
        """Frequencies of a spectrum."""
        return self.n_fft // 2 + 1
