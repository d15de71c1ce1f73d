"""Transformer encoder and positional encoding, torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.networks.activations_torch import Activation

if TYPE_CHECKING:
    from jaxtyping import Float

    from models.networks.config import TransformerConfig


class TransformerLayer(nn.Module):
    """Projection, post-norm encoder layers without mask or positions, projection and activation.

    `transformer_layer` is the prototype of which the layers start as copies; it never runs.

    Args:
        input_dim: Width of the input; equal to `d_model` it leaves the first projection out.
        output_dim: Width of the output; 0 or None leaves the last projection out, not its activation.
        cfg: The layers.

    Raises:
        RuntimeError: The hidden activation is neither ReLU nor GELU.

    Example:
        >>> from models.networks import TransformerConfig
        >>> cfg = TransformerConfig(8, 2, 12, 2, output_activation="Tanh")
        >>> TransformerLayer(3, 5, cfg)(torch.ones(2, 7, 3)).shape
        torch.Size([2, 7, 5])
    """

    def __init__(self, input_dim: int, output_dim: int | None, cfg: TransformerConfig) -> None:
        super().__init__()
        d_model = cfg.d_model
        self.in_proj: nn.Module = nn.Identity()
        if input_dim != d_model:
            self.in_proj = nn.Sequential(
                nn.Linear(input_dim, d_model), nn.LayerNorm(d_model), Activation(cfg.hidden_activation)
            )
        self.out_proj = nn.Sequential(
            *([nn.Linear(d_model, output_dim)] if output_dim else []), Activation(cfg.output_activation)
        )
        self.transformer_layer = nn.TransformerEncoderLayer(
            d_model,
            cfg.nhead,
            cfg.dim_ff,
            dropout=cfg.dropout,
            activation=cfg.hidden_activation.lower(),
            batch_first=True,
        )
        self.transformer = nn.TransformerEncoder(self.transformer_layer, cfg.n_layers, enable_nested_tensor=False)

    def forward(self, x: Float[Tensor, "B L input_dim"]) -> Float[Tensor, "B L output_dim"]:
        return self.out_proj(self.transformer(self.in_proj(x)))


class PositionalEncoding(nn.Module):
    """Add sines and cosines of the positions, then drop out.

    Column 2i of the table is sin(pos·w_i) and column 2i + 1 cos(pos·w_i), w_i = exp(−2i·ln(10000)/d_model).

    Args:
        d_model: Width; even.
        dropout: Rate.
        max_len: Length of the table.

    Raises:
        RuntimeError: An odd width; or, on a call, a longer input.

    Example:
        >>> PositionalEncoding(4, 0.0, 5)(torch.zeros(1, 2, 4))[0, 0]
        tensor([0., 1., 0., 1.])
    """

    pe: Tensor  # (1, max_len, d_model)

    def __init__(self, d_model: int, dropout: float, max_len: int) -> None:
        super().__init__()
        if d_model % 2:
            raise RuntimeError(f"PositionalEncoding: d_model must be even, got {d_model}")
        self.dropout = nn.Dropout(dropout)
        position = torch.arange(max_len).unsqueeze(1)
        angle = position * torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        self.register_buffer("pe", torch.stack([angle.sin(), angle.cos()], -1).reshape(1, max_len, d_model))

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        if x.shape[1] > self.pe.shape[1]:
            raise RuntimeError(
                f"PositionalEncoding: the table has {self.pe.shape[1]} positions, got an input of length {x.shape[1]}"
            )
        return self.dropout(x + self.pe[:, : x.shape[1]])
