"""Rows of equal layers that JAX keeps as one, stacked along a leading axis, and runs by `scan`; and the other way."""

from __future__ import annotations

from collections.abc import Iterable

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
    Run,
    equinox_port,
    haiku_port,
    linear,
    linen_port,
    nnx_port,
    zeros,
)

DEPTH, WIDTH, INNER = 3, 5, 7


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


class TorchStack(torch.nn.Module):
    """Linear layers whose weights torch keeps as one, (layer, out, in)."""

    def __init__(self, sizes: tuple[int, int]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(DEPTH, *reversed(sizes)))
        self.bias = torch.nn.Parameter(torch.zeros(DEPTH, sizes[1]))

    def forward(self, x: torch.Tensor, layer: int) -> torch.Tensor:  # (B, in) → (B, out)
        return torch.nn.functional.linear(x, self.weight[layer], self.bias[layer])


class TorchStacks(torch.nn.Module):
    """Residual layers, of which torch keeps one stack of weights for the way up and one for the way down."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = TorchStack((WIDTH, INNER)), TorchStack((INNER, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, WIDTH), both ways
        for layer in range(DEPTH):
            x = x + self.down(torch.tanh(self.up(x, layer)), layer)
        return x


class NnxList(nnx.Module):
    """The same layer by layer."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.up = nnx.List([nnx.Linear(WIDTH, INNER, rngs=rngs, **F64) for _ in range(DEPTH)])
        self.down = nnx.List([nnx.Linear(INNER, WIDTH, rngs=rngs, **F64) for _ in range(DEPTH)])

    def __call__(self, x: jax.Array) -> jax.Array:  # (B, WIDTH), both ways
        return _one_by_one(self.up, self.down, x)


class LinenList(ln.Module):
    """The same layer by layer."""

    def setup(self) -> None:
        self.up = [ln.Dense(INNER, **F64) for _ in range(DEPTH)]
        self.down = [ln.Dense(WIDTH, **F64) for _ in range(DEPTH)]

    def __call__(self, x: jax.Array) -> jax.Array:  # (B, WIDTH), both ways
        return _one_by_one(self.up, self.down, x)


class EquinoxList(eqx.Module):
    """The same layer by layer."""

    up: list[eqx.nn.Linear]
    down: list[eqx.nn.Linear]

    def __init__(self, key: jax.Array) -> None:
        self.up = [linear((WIDTH, INNER), key) for _ in range(DEPTH)]
        self.down = [linear((INNER, WIDTH), key) for _ in range(DEPTH)]

    def __call__(self, x: jax.Array) -> jax.Array:  # (WIDTH,), both ways
        return _one_by_one(self.up, self.down, x)


def _haiku_list(x: jax.Array) -> jax.Array:
    up = [hk.Linear(INNER, name=f"up_{layer}") for layer in range(DEPTH)]
    return _one_by_one(up, [hk.Linear(WIDTH, name=f"down_{layer}") for layer in range(DEPTH)], x)


def _one_by_one(up: Iterable[Run], down: Iterable[Run], x: jax.Array) -> jax.Array:
    for widen, narrow in zip(up, down, strict=True):
        x = x + narrow(jnp.tanh(widen(x)))
    return x


ROWS = {
    "a stack that JAX keeps layer by layer": Row(
        TorchStacks,
        [(2, WIDTH)],
        {
            "nnx": nnx_port(NnxList, strict=False),
            "linen": linen_port(LinenList, zeros(2, WIDTH), strict=False),
            "equinox": equinox_port(EquinoxList, strict=False),
            "haiku": haiku_port(_haiku_list, zeros(2, WIDTH), strict=False),
        },
    ),
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
