"""Rows of equal layers that JAX keeps as one, stacked along a leading axis, and runs by `scan`; and the other way."""

from __future__ import annotations

import equinox as eqx
import flax.linen as ln
import haiku as hk
import jax
import jax.numpy as jnp
import torch
from flax import nnx

from tests.weight_bridge.layer_table.row import (
    F64,
    Row,
    equinox_port,
    haiku_port,
    linear,
    linen_port,
    nnx_port,
    zeros,
)

DEPTH, WIDTH = 3, 5


class TorchLayers(torch.nn.Module):
    """Residual layers, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, WIDTH), both ways
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        return x


class Layers(nnx.Module):
    """The same as one layer with a leading axis."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        @nnx.split_rngs(splits=DEPTH)
        @nnx.vmap(in_axes=(0,), out_axes=0)
        def build(rngs: nnx.Rngs) -> nnx.Linear:
            return nnx.Linear(WIDTH, WIDTH, rngs=rngs, **F64)

        self.layers = build(rngs)

    def __call__(self, x: jax.Array) -> jax.Array:  # (B, WIDTH), both ways
        @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        def run(x: jax.Array, layer: nnx.Linear) -> jax.Array:
            return x + jnp.tanh(layer(x))

        return run(x, self.layers)


class LinenLayer(ln.Module):
    """One residual layer, as `linen.scan` takes it."""

    @ln.compact
    def __call__(self, x: jax.Array, _: None) -> tuple[jax.Array, None]:
        return x + jnp.tanh(ln.Dense(WIDTH, name="dense", **F64)(x)), None


class LinenLayers(ln.Module):
    """The same as one layer with a leading axis."""

    @ln.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # (B, WIDTH), both ways
        scanned = ln.scan(LinenLayer, variable_axes={"params": 0}, split_rngs={"params": True}, length=DEPTH)
        return scanned(name="layers")(x, None)[0]


class EquinoxLayers(eqx.Module):
    """The same as one layer with a leading axis."""

    layers: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        self.layers = eqx.filter_vmap(lambda key: linear((WIDTH, WIDTH), key))(jax.random.split(key, DEPTH))

    def __call__(self, x: jax.Array) -> jax.Array:  # (WIDTH,), both ways
        arrays, rest = eqx.partition(self.layers, eqx.is_array)
        return jax.lax.scan(lambda x, layer: (x + jnp.tanh(eqx.combine(layer, rest)(x)), None), x, arrays)[0]


def _haiku(x: jax.Array) -> jax.Array:
    return hk.experimental.layer_stack(DEPTH, name="layers")(lambda x: x + jnp.tanh(hk.Linear(WIDTH)(x)))(x)


ROWS = {
    "layers stacked for scan": Row(
        TorchLayers,
        [(2, WIDTH)],
        {
            "nnx": nnx_port(Layers),
            "linen": linen_port(LinenLayers, zeros(2, WIDTH)),
            "equinox": equinox_port(EquinoxLayers),
            "haiku": haiku_port(_haiku, zeros(2, WIDTH)),
        },
    ),
}
