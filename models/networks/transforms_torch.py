"""Soft one-hot codes of numbers, and rescaling, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

    from models.networks.config import SoftmaxTransConfig


class SoftmaxTransformation:
    """Spreads each number over a grid of points by a Gaussian kernel, and back.

    Args:
        cfg: The grid and the kernel.

    Example:
        >>> from models.networks import SoftmaxTransConfig
        >>> code = SoftmaxTransformation(SoftmaxTransConfig(vector=3, sigma=0.1))
        >>> code.inverse(code.transform(torch.tensor([0.0])))
        tensor([0.])
    """

    def __init__(self, cfg: SoftmaxTransConfig) -> None:
        self.vector = cfg.vector
        self.sigma = cfg.sigma
        self.n_ignore = cfg.n_ignore
        self.max = cfg.max
        self.min = cfg.min
        self.k = torch.linspace(cfg.min, cfg.max, cfg.vector)

    def __call__(self, x: Tensor) -> Tensor:
        return self.transform(x)

    def get_transformed_dim(self, dim: int) -> int:
        """Return the width of the code of `dim` numbers."""
        return (dim - self.n_ignore) * self.vector + self.n_ignore

    def transform(self, x: Tensor) -> Tensor:
        """Code numbers.

        Args:
            x: (*, D), float; the last `n_ignore` of them pass through.

        Returns:
            (*, `get_transformed_dim(D)`): the grid of the first number, that of the second, …
        """
        coded, ignored = self._split(x)
        weights = torch.exp(-((coded[..., None] - self.k.to(x.device)).square()) / self.sigma)
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-8)
        return torch.cat([weights.flatten(-2), ignored], dim=-1)

    def inverse(self, x: Tensor) -> Tensor:
        """Return the numbers (*, D) that codes (*, `get_transformed_dim(D)`) stand for: weighted grid points."""
        coded, ignored = self._split(x)
        numbers = (coded.unflatten(-1, (-1, self.vector)) * self.k.to(x.device)).sum(-1)
        return torch.cat([numbers, ignored], dim=-1)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        width = x.shape[-1] - self.n_ignore
        return x[..., :width], x[..., width:]


class MinMaxNormalize(nn.Module):
    """Maps [old_min, old_max] linearly to [min_val, max_val], for images with three channels.

    Args:
        min_val: Image of `old_min`.
        max_val: Image of `old_max`.
        old_min: Start of the old range.
        old_max: End of the old range.

    Raises:
        ZeroDivisionError: One of the ranges is empty.
        ValueError: On a call with anything but float images of three channels.

    Example:
        >>> MinMaxNormalize(-1.0, 1.0)(torch.ones(3, 1, 1)).flatten()
        tensor([1., 1., 1.])
    """

    def __init__(self, min_val: float, max_val: float, old_min: float = 0.0, old_max: float = 1.0) -> None:
        super().__init__()
        self.scale = (max_val - min_val) / (old_max - old_min)
        self.shift = min_val - old_min * self.scale
        self.mean = -self.shift / self.scale
        self.std = 1 / self.scale

    def forward(self, x: Float[Tensor, "*batch 3 H W"]) -> Float[Tensor, "*batch 3 H W"]:
        if x.ndim < 3 or x.shape[-3] != 3 or not x.is_floating_point():
            raise ValueError(
                f"MinMaxNormalize: expected float images (*, 3, H, W), got {x.dtype} of shape {tuple(x.shape)}"
            )
        return (x - self.mean) / self.std
