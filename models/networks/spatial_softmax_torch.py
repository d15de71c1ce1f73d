"""Expected pixel coordinates, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.softmax_torch import softmax

if TYPE_CHECKING:
    from jaxtyping import Float

    from models.networks.config import SpatialSoftmaxConfig


class SpatialSoftmax(nn.Module):
    """Coordinates in [−1, 1] of where each channel is large, x first.

    Args:
        cfg: Temperature, and what weighs the pixels: the softmax, the argmax, or the softmax with the identity
            added to its gradient on the logits.

    Raises:
        AssertionError: The temperature is not positive.
        ValueError: On a call, the input has not four axes.

    Example:
        >>> from models.networks import SpatialSoftmaxConfig
        >>> SpatialSoftmax(SpatialSoftmaxConfig())(torch.eye(3).reshape(1, 1, 3, 3) * 100)
        tensor([[[0., 0.]]])

    References:
        Finn et al., 2016: Deep spatial autoencoders for visuomotor learning.
    """

    def __init__(self, cfg: SpatialSoftmaxConfig) -> None:
        super().__init__()
        assert cfg.temperature > 0, f"SpatialSoftmax: the temperature must be positive, got {cfg.temperature}"
        self.temperature = cfg.temperature
        self.is_argmax = cfg.is_argmax
        self.is_straight_through = cfg.is_straight_through

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C 2"]:
        if x.ndim != 4:
            raise ValueError(f"SpatialSoftmax: expected (B, C, H, W), got shape {tuple(x.shape)}")
        H, W = x.shape[2:]
        logits = x.flatten(2) / self.temperature
        weights = softmax(logits)
        if self.is_argmax:
            top = F.one_hot(logits.argmax(-1), H * W).to(x.dtype)
            weights = (top + weights) - weights.detach()
        elif self.is_straight_through:
            weights = (weights + logits) - logits.detach()
        weights = weights.unflatten(2, (H, W))
        across = torch.linspace(-1, 1, W, dtype=x.dtype, device=x.device)
        down = torch.linspace(-1, 1, H, dtype=x.dtype, device=x.device)
        return torch.stack([(weights.sum(2) * across).sum(-1), (weights.sum(3) * down).sum(-1)], -1)
