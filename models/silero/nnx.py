"""The voice detector in Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from jax import Array

    from models.silero.config import SileroConfig


def _conv(inputs: int, outputs: int, width: int, rngs: nnx.Rngs, **options: Any) -> nnx.Conv:
    return nnx.Conv(inputs, outputs, (width,), param_dtype=jnp.result_type(float), rngs=rngs, **options)


class VoiceDetector(nnx.Module):
    """Magnitudes of a short-time Fourier transform, four convolutions, an LSTM cell, a probability.

    Args:
      config: Sizes.
      rngs: Streams for the first weights.
    """

    def __init__(self, config: SileroConfig, *, rngs: nnx.Rngs) -> None:
        self.config = config
        first, second, third, width = config.channels
        spectra: dict[str, Any] = {"strides": config.hop, "padding": "VALID", "use_bias": False}
        self.stft_conv = _conv(1, 2 * config.bins, config.n_fft, rngs, **spectra)
        # "SAME" pads a strided convolution otherwise than torch does.
        self.conv1 = _conv(config.bins, first, 3, rngs, padding=1)
        self.conv2 = _conv(first, second, 3, rngs, strides=2, padding=1)
        self.conv3 = _conv(second, third, 3, rngs, strides=2, padding=1)
        self.conv4 = _conv(third, width, 3, rngs, padding=1)
        self.lstm_cell = nnx.LSTMCell(width, width, param_dtype=jnp.result_type(float), rngs=rngs)
        self.final_conv = _conv(width, 1, 1, rngs)

    def __call__(self, x: Array, state: Array) -> tuple[Array, Array]:  # (B, T), (2, B, C) -> (B, 1), (2, B, C)
        """Return how likely a chunk holds speech, and the state for the next chunk.

        Args:
          x: Samples, (B, T), as many as leave one frame after the convolutions.
          state: Hidden and cell state, (2, B, C).
        """
        spectrum = self.stft_conv(jnp.pad(x, ((0, 0), (0, self.config.pad)), mode="reflect")[..., None])
        real, imaginary = jnp.split(spectrum, 2, axis=-1)
        h = jnp.sqrt(real**2 + imaginary**2)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            h = jax.nn.relu(layer(h))
        (c, h), _ = self.lstm_cell((state[1], state[0]), h.squeeze(1))  # Flax carries (c, h), torch (h, c)
        speech = jax.nn.sigmoid(self.final_conv(jax.nn.relu(h)[:, None]))
        return speech.squeeze(-1).mean(1, keepdims=True), jnp.stack([h, c])
