"""Networks that make other networks' weights, Flax NNX."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx

from models.networks.kernels_nnx import Linear
from models.networks.linear_nnx import MLPLayer
from models.networks.modules_nnx import RngsLike, as_rngs
from models.networks.value_checks_nnx import is_concrete

if TYPE_CHECKING:
    from jax import Array

    from models.networks.config import MLPConfig

    Shapes = Mapping[str, Sequence[int] | Array]

ENCODINGS = (None, "cos|sin", "z|1-z")


class HyperNet(nnx.Module):
    """Maps each row of its input to a set of named tensors.

    Args:
        input_dim: Width of the backbone's input: that of the encoded input, so twice the input's own width
            with an encoding.
        output_shapes: Shape of each tensor by name, or an array of that shape; made in the mapping's order.
        fc_cfg: The backbone's layers; None for a single linear map.
        encoding: "cos|sin" for [cos(πz/2), sin(πz/2)], "z|1-z" for [z, 1 − z], None for z itself.
        output_params: Another name of `output_shapes`; exactly one has to be given.
        rngs: Streams.

    Raises:
        TypeError: Neither or both of `output_shapes` and `output_params` are given.
        ValueError: On a call with another encoding, or an input without exactly two axes.

    Example:
        >>> tensors = HyperNet(3, {"weight": (2, 5), "bias": (2,)}, rngs=0)(jnp.ones((7, 3)))
        >>> tensors["weight"].shape, tensors["bias"].shape
        ((7, 2, 5), (7, 2))

    References:
        Ha et al., 2017: HyperNetworks. Ortiz et al., 2023: Magnitude invariant parametrizations improve
        hypernetwork learning.
    """

    def __init__(
        self,
        input_dim: int,
        output_shapes: Shapes | None = None,
        fc_cfg: MLPConfig | None = None,
        encoding: str | None = None,
        *,
        output_params: Shapes | None = None,
        rngs: RngsLike,
    ) -> None:
        if (output_shapes is None) == (output_params is None):
            raise TypeError("HyperNet: give exactly one of output_shapes and output_params")
        shapes = output_params if output_shapes is None else output_shapes
        assert shapes is not None
        rngs = as_rngs(rngs)
        self.input_dim = input_dim
        self.named_shapes = tuple(  # of plain tuples, which are no state
            (name, tuple(map(int, getattr(value, "shape", value)))) for name, value in shapes.items()
        )
        self.encoding = encoding
        size = self.flat_output_size()
        if fc_cfg is None:
            self.backbone = Linear(input_dim, size, rngs=rngs)
        else:
            self.backbone = MLPLayer(input_dim, size, fc_cfg, rngs=rngs)

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor, by name."""
        return dict(self.named_shapes)

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

    def unflatten_output(self, flat: Array) -> dict[str, Array]:
        """Cut rows (B, size) into tensors (B, *shape)."""
        return {
            name: flat[:, start : start + size].reshape(len(flat), *self.output_shapes[name])
            for name, (start, size) in self.output_offsets().items()
        }

    def __call__(self, z: Array) -> dict[str, Array]:  # (B, Z) -> {name: (B, *shape)}
        if z.ndim != 2:
            raise ValueError(f"HyperNet: expected an input with two axes, (B, Z), got shape {z.shape}")
        return self.unflatten_output(self.backbone(self._encoded(z)))

    def _encoded(self, z: Array) -> Array:
        if self.encoding is None:
            return z
        if self.encoding not in ENCODINGS:
            raise ValueError(f"HyperNet: encoding must be one of {ENCODINGS}, got {self.encoding!r}")
        if is_concrete(z) and ((z < 0) | (z > 1)).any():
            warnings.warn(f"HyperNet: the encoding {self.encoding!r} is meant for inputs in [0, 1]", stacklevel=3)
        if self.encoding == "cos|sin":
            angle = math.pi * z / 2
            return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)
        return jnp.concatenate([z, 1 - z], axis=-1)
