"""The voice detector in torch, under the names of the shipped weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from models.silero.config import SileroConfig


class VoiceDetector(nn.Module):
    """Magnitudes of a short-time Fourier transform, four convolutions, an LSTM cell, a probability.

    Args:
      config: Sizes.
    """

    def __init__(self, config: SileroConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third, width = config.channels
        self.stft_conv = nn.Conv1d(1, 2 * config.bins, config.n_fft, stride=config.hop, bias=False)
        self.conv1 = nn.Conv1d(config.bins, first, 3, padding=1)
        self.conv2 = nn.Conv1d(first, second, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(second, third, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(third, width, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(width, width)
        self.final_conv = nn.Conv1d(width, 1, 1)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:  # (B, T), (2, B, C) -> (B, 1), (2, B, C)
        """Return how likely a chunk holds speech, and the state for the next chunk.

        Args:
          x: Samples, (B, T), as many as leave one frame after the convolutions.
          state: Hidden and cell state, (2, B, C).
        """
        spectrum = self.stft_conv(F.pad(x, (0, self.config.pad), mode="reflect")[:, None])
        real, imaginary = spectrum.split(self.config.bins, dim=1)
        h = torch.sqrt(real**2 + imaginary**2)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            h = F.relu(layer(h))
        h, c = self.lstm_cell(h.squeeze(-1), (state[0], state[1]))
        speech = torch.sigmoid(self.final_conv(F.relu(h)[..., None]))
        return speech.squeeze(1).mean(1, keepdim=True), torch.stack([h, c])
