"""Recurrent layers, lengths and truncated histories, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

if TYPE_CHECKING:
    from torch import Tensor

    from models.catalogue.recurrent.config import RecurrentConfig


class LongMemory(nn.Module):
    """An LSTM and a dense head."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.rnn = nn.LSTM(config.inputs, config.hidden, batch_first=True)
        self.head = nn.Linear(config.hidden, config.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, inputs) -> (B, T, outputs)
        return self.head(self.rnn(x)[0])


class GatedMemory(nn.Module):
    """A GRU and a dense head."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.rnn = nn.GRU(config.inputs, config.hidden, batch_first=True)
        self.head = nn.Linear(config.hidden, config.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, inputs) -> (B, T, outputs)
        return self.head(self.rnn(x)[0])


class BidirectionalLSTM(nn.Module):
    """Both directions side by side, each over the valid steps of every row."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # (B, T, inputs), (B,) -> (B, T, 2 hidden)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]


class BothWays(nn.Module):
    """An LSTM in both directions over rows of different lengths."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.rnn = BidirectionalLSTM(config.inputs, config.hidden)
        self.head = nn.Linear(2 * config.hidden, config.outputs)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # (B, T, inputs), (B,) -> (B, T, outputs)
        return self.head(self.rnn(x, lengths))


class Stacked(nn.Module):
    """Two LSTM layers with dropout between them, and none after the last."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.rnn = nn.LSTM(config.inputs, config.hidden, num_layers=2, batch_first=True, dropout=config.dropout)
        self.head = nn.Linear(config.hidden, config.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, inputs) -> (B, T, outputs)
        return self.head(self.rnn(x)[0])


class Chunks(nn.Module):
    """A GRU over two chunks: the state goes on, its gradient does not."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.rnn = nn.GRU(config.inputs, config.hidden, batch_first=True)
        self.head = nn.Linear(config.hidden, config.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (B, 2T, inputs) -> (B, 2T, outputs)
        early, late = x.chunk(2, 1)
        first, state = self.rnn(early)
        second, _ = self.rnn(late, state.detach())
        return self.head(torch.cat([first, second], 1))
