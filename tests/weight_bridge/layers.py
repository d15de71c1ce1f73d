"""One row per layer: the same layer in torch, NNX and linen, with an input; every extent prime and different."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as ln
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

Arrays = np.ndarray


@dataclass(frozen=True)
class Row:
    """A layer and how it is called.

    Args:
      torch: builds the torch layer.
      nnx: builds the NNX layer from random streams.
      linen: builds the linen layer; None where linen has none.
      shape: extents of the input, channels first.
      channels_last: whether the JAX sides take channels last.
      integers: upper bound of integer inputs; 0 for floating ones.
    """

    torch: Callable[[], torch.nn.Module]
    nnx: Callable[[nnx.Rngs], Any]
    linen: Callable[[], Any] | None
    shape: tuple[int, ...]
    channels_last: bool = False
    integers: int = 0

    def input(self, rng: np.random.Generator) -> Arrays:
        """Draws an input for torch."""
        if self.integers:
            return rng.integers(0, self.integers, self.shape)
        return rng.standard_normal(self.shape)

    def to_jax(self, x: Arrays) -> Arrays:
        """Lays an input or output of torch out as the JAX sides have it."""
        return np.moveaxis(x, 1, -1) if self.channels_last else x


def _transposed(flip: bool) -> Row:
    return Row(
        lambda: torch.nn.ConvTranspose2d(3, 5, (2, 7), stride=(1, 2)),
        lambda rngs: nnx.ConvTranspose(
            3, 5, (2, 7), strides=(1, 2), padding="VALID", transpose_kernel=flip, param_dtype=jnp.float64, rngs=rngs
        ),
        lambda: ln.ConvTranspose(
            5, (2, 7), strides=(1, 2), padding="VALID", transpose_kernel=flip, param_dtype=jnp.float64
        ),
        (2, 3, 5, 11),
        channels_last=True,
    )


def _convolution(rank: int, groups: int = 1, bias: bool = True) -> Row:
    kernel, extents = (2, 3, 5)[:rank], (7, 11, 13)[:rank]
    layers = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}
    into, out = 3 * groups, 5 * groups
    options: dict[str, Any] = {"feature_group_count": groups, "use_bias": bias, "param_dtype": jnp.float64}
    return Row(
        lambda: layers[rank](into, out, kernel, groups=groups, bias=bias),
        lambda rngs: nnx.Conv(into, out, kernel, padding="VALID", rngs=rngs, **options),
        lambda: ln.Conv(out, kernel, padding="VALID", **options),
        (2, into, *extents),
        channels_last=True,
    )


def _batch_norm(affine: bool) -> Row:
    options: dict[str, Any] = {"epsilon": 1e-5, "use_running_average": True, "param_dtype": jnp.float64}
    options |= {"use_bias": affine, "use_scale": affine}
    return Row(
        lambda: torch.nn.BatchNorm2d(3, affine=affine),
        lambda rngs: nnx.BatchNorm(3, rngs=rngs, **options),
        lambda: ln.BatchNorm(**options),
        (2, 3, 5, 7),
        channels_last=True,
    )


def _norm(torch_layer: Callable[[], torch.nn.Module], name: str, shape: tuple[int, ...], **options: Any) -> Row:
    options |= {"param_dtype": jnp.float64, "epsilon": 1e-5}
    return Row(
        torch_layer,
        lambda rngs: getattr(nnx, name)(options["channels"], rngs=rngs, **_without(options, "channels")),
        lambda: getattr(ln, name)(**_without(options, "channels")),
        shape,
        channels_last=len(shape) > 2,
    )


def _without(options: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != name}


ROWS: dict[str, Row] = {
    "Linear": Row(
        lambda: torch.nn.Linear(3, 5),
        lambda rngs: nnx.Linear(3, 5, param_dtype=jnp.float64, rngs=rngs),
        lambda: ln.Dense(5, param_dtype=jnp.float64),
        (2, 3),
    ),
    "Linear, square": Row(
        lambda: torch.nn.Linear(7, 7),
        lambda rngs: nnx.Linear(7, 7, param_dtype=jnp.float64, rngs=rngs),
        lambda: ln.Dense(7, param_dtype=jnp.float64),
        (2, 7),
    ),
    "Linear without bias": Row(
        lambda: torch.nn.Linear(3, 5, bias=False),
        lambda rngs: nnx.Linear(3, 5, use_bias=False, param_dtype=jnp.float64, rngs=rngs),
        lambda: ln.Dense(5, use_bias=False, param_dtype=jnp.float64),
        (2, 3),
    ),
    "Embedding": Row(
        lambda: torch.nn.Embedding(7, 7, padding_idx=0),
        lambda rngs: nnx.Embed(7, 7, param_dtype=jnp.float64, rngs=rngs),
        lambda: ln.Embed(7, 7, param_dtype=jnp.float64),
        (2, 3),
        integers=7,
    ),
    "Conv1d": _convolution(1),
    "Conv2d": _convolution(2),
    "Conv3d": _convolution(3),
    "Conv2d in groups": _convolution(2, groups=2),
    "Conv2d without bias": _convolution(2, bias=False),
    "ConvTranspose2d": _transposed(flip=False),
    "ConvTranspose2d, transpose_kernel": _transposed(flip=True),
    "LayerNorm": _norm(lambda: torch.nn.LayerNorm(5), "LayerNorm", (2, 5), channels=5),
    "RMSNorm": _norm(lambda: torch.nn.RMSNorm(5, eps=1e-5), "RMSNorm", (2, 5), channels=5),
    "GroupNorm": _norm(lambda: torch.nn.GroupNorm(2, 6), "GroupNorm", (2, 6, 5, 7), channels=6, num_groups=2),
    "BatchNorm2d": _batch_norm(affine=True),
    "BatchNorm2d without affine": _batch_norm(affine=False),
}
