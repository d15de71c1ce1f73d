"""One small model in torch, NNX and linen, with what a plan has to cope with; all extents prime and different."""

from __future__ import annotations

from typing import Any

import flax.linen as ln
import jax.numpy as jnp
import torch
from flax import nnx

INPUT, HIDDEN, OUT, MIX, RANK, CHANNELS = 2, 7, 13, 3, 5, 11


class TorchPort(torch.nn.Module):
    """Sequentials with activations inside, a square layer, batch statistics, bare parameters, a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.temporal = torch.nn.Parameter(torch.randn(MIX, RANK * RANK))
        self.temporal_bias = torch.nn.Parameter(torch.randn(1, RANK))
        self.hypernet = torch.nn.Sequential(
            torch.nn.Linear(INPUT, HIDDEN),
            torch.nn.LayerNorm(HIDDEN),
            torch.nn.ELU(),
            torch.nn.Linear(HIDDEN, HIDDEN),
            torch.nn.Linear(HIDDEN, OUT, bias=False),
        )
        self.convs = torch.nn.ModuleList([torch.nn.Conv2d(INPUT, CHANNELS, (2, 3)), torch.nn.BatchNorm2d(CHANNELS)])
        self.register_buffer("steps", torch.arange(4))


class NnxPort(nnx.Module):
    """The same, its `Sequential` as a list, with dropout's random streams beside the parameters."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.temporal = nnx.Param(jnp.zeros((MIX, RANK * RANK)))
        self.temporal_bias = nnx.Param(jnp.zeros((1, RANK)))
        self.hypernet = nnx.List(
            [
                nnx.Linear(INPUT, HIDDEN, rngs=rngs),
                nnx.LayerNorm(HIDDEN, rngs=rngs),
                nnx.elu,
                nnx.Linear(HIDDEN, HIDDEN, rngs=rngs),
                nnx.Linear(HIDDEN, OUT, use_bias=False, rngs=rngs),
            ]
        )
        self.convs = nnx.List([nnx.Conv(INPUT, CHANNELS, (2, 3), rngs=rngs), nnx.BatchNorm(CHANNELS, rngs=rngs)])
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.steps = nnx.Variable(jnp.zeros(4, jnp.int32))


class LinenPort(ln.Module):
    """The same with `setup` for the network and chosen names for the rest."""

    def setup(self) -> None:
        dense = [ln.Dense(HIDDEN), ln.LayerNorm(), ln.elu, ln.Dense(HIDDEN), ln.Dense(OUT, use_bias=False)]
        self.hypernet = ln.Sequential(dense)
        self.convs = [ln.Conv(CHANNELS, (2, 3)), ln.BatchNorm()]
        self.temporal = self.param("temporal", ln.initializers.zeros, (MIX, RANK * RANK))
        self.temporal_bias = self.param("temporal_bias", ln.initializers.zeros, (1, RANK))
        self.steps = self.variable("buffers", "steps", jnp.zeros, 4, jnp.int32)

    def __call__(self, x: Any, train: bool) -> Any:
        image = jnp.zeros((1, 5, 7, INPUT))
        return self.hypernet(x), self.convs[1](self.convs[0](image), use_running_average=not train)


def nnx_port() -> NnxPort:
    """A target for the command line."""
    return NnxPort(rngs=nnx.Rngs(0))


def linen_port() -> tuple[LinenPort, Any]:
    """A target for the command line."""
    return LinenPort(), jnp.zeros((1, INPUT))
