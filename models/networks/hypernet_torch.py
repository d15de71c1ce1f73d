"""Networks that make other networks' weights, torch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.networks.linear_torch import MLPLayer

if TYPE_CHECKING:
    from models.networks.config import MLPConfig

ENCODINGS = (None, "cos|sin", "z|1-z")


class HyperNet(nn.Module):
    """Maps each row of its input to a set of named tensors.

    Args:
        input_dim: Width of the backbone's input: that of the encoded input, so twice the input's own width
            with an encoding.
        output_params: Shape of each tensor by name, or a tensor of that shape; made in the mapping's order.
        fc_cfg: The backbone's layers; None for a single linear map.
        encoding: "cos|sin" for [cos(πz/2), sin(πz/2)], "z|1-z" for [z, 1 − z], None for z itself.

    Raises:
        ValueError: On a call with another encoding, or an input without exactly two axes.

    Example:
        >>> tensors = HyperNet(3, {"weight": (2, 5), "bias": (2,)})(torch.ones(7, 3))
        >>> tensors["weight"].shape, tensors["bias"].shape
        (torch.Size([7, 2, 5]), torch.Size([7, 2]))

    References:
        Ha et al., 2017: HyperNetworks. Ortiz et al., 2023: Magnitude invariant parametrizations improve
        hypernetwork learning.
    """

    def __init__(
        self,
        input_dim: int,
        output_params: Mapping[str, Sequence[int] | Tensor],
        fc_cfg: MLPConfig | None = None,
        encoding: str | None = None,
    ) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.output_shapes = {
            name: tuple(value.shape if isinstance(value, Tensor) else value) for name, value in output_params.items()
        }
        self.encoding = encoding
        size = self.flat_output_size()
        self.backbone = nn.Linear(input_dim, size) if fc_cfg is None else MLPLayer(input_dim, size, fc_cfg)

    def flat_output_size(self) -> int:
        """Return the number of values made for one row."""
        return sum(map(math.prod, self.output_shapes.values()))

    def output_offsets(self) -> dict[str, tuple[int, int]]:
        """Return where each tensor lies in the flat output: start and size."""
        offsets, start = {}, 0
        for name, shape in self.output_shapes.items():
            offsets[name] = (start, math.prod(shape))
            start += math.prod(shape)
        return offsets

    def unflatten_output(self, flat: Tensor) -> dict[str, Tensor]:
        """Cut rows (B, size) into tensors (B, *shape)."""
        return {
            name: flat[:, start : start + size].reshape(len(flat), *self.output_shapes[name])
            for name, (start, size) in self.output_offsets().items()
        }

    def forward(self, z: Tensor) -> dict[str, Tensor]:  # (B, Z) -> {name: (B, *shape)}
        if z.ndim != 2:
            raise ValueError(f"HyperNet: expected an input with two axes, (B, Z), got shape {tuple(z.shape)}")
        return self.unflatten_output(self.backbone(self._encoded(z)))

    def _encoded(self, z: Tensor) -> Tensor:
        if self.encoding is None:
            return z
        if self.encoding not in ENCODINGS:
            raise ValueError(f"HyperNet: encoding must be one of {ENCODINGS}, got {self.encoding!r}")
        if ((z < 0) | (z > 1)).any():
            warnings.warn(f"HyperNet: the encoding {self.encoding!r} is meant for inputs in [0, 1]", stacklevel=3)
        if self.encoding == "cos|sin":
            angle = math.pi * z / 2
            return torch.cat([angle.cos(), angle.sin()], dim=-1)
        return torch.cat([z, 1 - z], dim=-1)
