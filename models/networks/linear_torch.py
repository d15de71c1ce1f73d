"""Dense layers, torch."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor, nn

from models.networks.activations_torch import Activation
from models.networks.norms_torch import get_norm
from models.networks.sizes import is_glu_like

if TYPE_CHECKING:
    from jaxtyping import Float

    from models.networks.config import LinearConfig, MLPConfig


class LinearNormActivation(nn.Module):
    """Linear map, norm, activation and dropout; with `norm_first` the norm comes before the linear map.

    Args:
        input_dim: Width of the input.
        output_dim: Width of the output; the linear map is twice as wide for gated activations.
        cfg: The layer.

    Example:
        >>> import torch
        >>> from models.networks import LinearConfig
        >>> layer = LinearNormActivation(3, 5, LinearConfig(activation="ReLU", norm="layer"))
        >>> layer(torch.ones(2, 3)).shape
        torch.Size([2, 5])
    """

    def __init__(self, input_dim: int, output_dim: int, cfg: LinearConfig) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.norm_first = cfg.norm_first
        width = 2 * output_dim if is_glu_like(cfg.activation) else output_dim
        self.linear = nn.Linear(input_dim, width, bias=cfg.bias)
        norm_cfg = {**cfg.norm_cfg, "normalized_shape": input_dim if cfg.norm_first else width}
        self.norm = get_norm(cfg.norm, **norm_cfg)
        self.activation = Activation(cfg.activation)
        self.dropout = nn.Dropout(cfg.dropout) if cfg.dropout > 0 else nn.Identity()

    def forward(self, x: Float[Tensor, "*batch input_dim"]) -> Float[Tensor, "*batch output_dim"]:
        x = self.linear(self.norm(x)) if self.norm_first else self.norm(self.linear(x))
        return self.dropout(self.activation(x))


class MLPLayer(nn.Module):
    """`max(n_layers, 1)` hidden dense layers and an output layer.

    The output layer has the output activation and no norm, but keeps the dropout and the bias setting.

    Args:
        input_dim: Width of the input.
        output_dim: Width of the output.
        cfg: The layers; copied.

    Example:
        >>> import torch
        >>> from models.networks import LinearConfig, MLPConfig
        >>> cfg = MLPConfig(7, 2, "Tanh", LinearConfig(activation="ReLU"))
        >>> MLPLayer(3, 5, cfg)(torch.ones(2, 3)).shape
        torch.Size([2, 5])
    """

    def __init__(self, input_dim: int, output_dim: int, cfg: MLPConfig) -> None:
        super().__init__()
        cfg = copy.deepcopy(cfg)
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.hidden_dim = cfg.hidden_dim
        self.n_layers = cfg.n_layers
        last_cfg = replace(cfg.linear_cfg, activation=cfg.output_activation, norm="none")
        hidden = [cfg.hidden_dim] * max(cfg.n_layers, 1)
        self.dense = nn.Sequential(
            *(
                LinearNormActivation(a, b, cfg.linear_cfg)
                for a, b in zip([input_dim, *hidden[:-1]], hidden, strict=True)
            ),
            LinearNormActivation(cfg.hidden_dim, output_dim, last_cfg),
        )

    def forward(self, x: Float[Tensor, "*batch input_dim"]) -> Float[Tensor, "*batch output_dim"]:
        return self.dense(x)
