"""Rows of linear layers, tables, slopes, bare parameters."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import flax.linen as ln
import haiku as hk
import jax
import jax.numpy as jnp
import torch
from flax import nnx

from tests.weight_bridge.layer_table.row import (
    F64,
    Absent,
    Port,
    Refused,
    Row,
    equinox_port,
    first,
    haiku_port,
    last,
    linear,
    linen_port,
    nnx_port,
    zeros,
)
from weight_bridge import Mapping, Pairing, Rule
from weight_bridge.transform_text import parse


def _linear(into: int, out: int, *, bias: bool = True) -> Row:
    return Row(
        lambda: torch.nn.Linear(into, out, bias=bias),
        [(2, into)],
        {
            "nnx": nnx_port(lambda rngs: nnx.Linear(into, out, use_bias=bias, rngs=rngs, **F64)),
            "linen": linen_port(lambda: ln.Dense(out, use_bias=bias, **F64), zeros(2, into)),
            "equinox": equinox_port(lambda key: linear((into, out), key, use_bias=bias)),
            "haiku": haiku_port(lambda x: hk.Linear(out, with_bias=bias)(x), zeros(2, into)),
        },
    )


EMBEDDING = Row(
    lambda: torch.nn.Embedding(7, 3, padding_idx=0),
    [(2, 5)],
    {
        "nnx": nnx_port(lambda rngs: nnx.Embed(7, 3, rngs=rngs, **F64), ungraded=frozenset({"weight"})),
        "linen": linen_port(
            lambda: ln.Embed(7, 3, **F64), lambda: jnp.zeros((2, 5), int), ungraded=frozenset({"weight"})
        ),
        "equinox": equinox_port(
            lambda key: eqx.nn.Embedding(7, 3, key=key),
            lambda m, x: jax.vmap(jax.vmap(m))(x),
            ungraded=frozenset({"weight"}),
        ),
        "haiku": haiku_port(
            lambda x: hk.Embed(7, 3)(x), lambda: jnp.zeros((2, 5), int), ungraded=frozenset({"weight"})
        ),
    },
    integers=7,
)


class TorchTied(torch.nn.Module):
    """An embedding whose table is the output layer too."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(7, 3)
        self.head = torch.nn.Linear(3, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(x))


class NnxTied(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Embed(7, 3, rngs=rngs, **F64)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.embed.attend(self.embed(x))


class LinenTied(ln.Module):
    def setup(self) -> None:
        self.embed = ln.Embed(7, 3, **F64)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.embed.attend(self.embed(x))


class EquinoxUntied(eqx.Module):
    """Stores the table twice."""

    embed: eqx.nn.Embedding
    head: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        self.embed, self.head = eqx.nn.Embedding(7, 3, key=key), linear((3, 7), key, use_bias=False)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.embed(x))


def haiku_tied(x: jax.Array) -> jax.Array:
    embed = hk.Embed(7, 3, name="embed")
    return embed(x) @ embed.embeddings.T


TIED = Row(
    TorchTied,
    [(2, 5)],
    {
        "nnx": nnx_port(NnxTied),
        "linen": linen_port(LinenTied, lambda: jnp.zeros((2, 5), int)),
        "equinox": equinox_port(EquinoxUntied, lambda m, x: jax.vmap(jax.vmap(m))(x)),
        "haiku": haiku_port(haiku_tied, lambda: jnp.zeros((2, 5), int)),
    },
    integers=7,
)


class TorchShared(torch.nn.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Linear(5, 5)
        self.two = self.one

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(torch.tanh(self.one(x)))


class NnxShared(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.one = nnx.Linear(5, 5, rngs=rngs, **F64)
        self.two = self.one

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.two(jnp.tanh(self.one(x)))


class LinenShared(ln.Module):
    def setup(self) -> None:
        self.one = ln.Dense(5, **F64)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.one(jnp.tanh(self.one(x)))


class EquinoxUnshared(eqx.Module):
    one: eqx.nn.Linear
    two: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        self.one, self.two = linear((5, 5), key), linear((5, 5), key)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.two(jnp.tanh(self.one(x)))


def haiku_shared(x: jax.Array) -> jax.Array:
    layer = hk.Linear(5, name="one")
    return layer(jnp.tanh(layer(x)))


SHARED = Row(
    TorchShared,
    [(2, 5)],
    {
        "nnx": nnx_port(NnxShared),
        "linen": linen_port(LinenShared, zeros(2, 5)),
        "equinox": equinox_port(EquinoxUnshared),
        "haiku": haiku_port(haiku_shared, zeros(2, 5)),
    },
)


def _slopes(count: int) -> Row:
    def refused(target: Any, kind: str, path: str) -> Refused:
        return Refused(target, f"{path}: {kind} has one slope, weight has {count}")

    ports: dict[str, Port | Refused | Absent] = {
        "nnx": nnx_port(lambda rngs: nnx.PReLU(param_dtype=jnp.float64)),
        "linen": linen_port(lambda: ln.PReLU(**F64), zeros(2, 5)),
        "equinox": equinox_port(lambda key: eqx.nn.PReLU(jnp.full((count,) if count > 1 else (), 0.25))),
        "haiku": Absent("Haiku has no PReLU"),
    }
    if count > 1:
        ports |= {
            "nnx": refused(lambda: nnx.PReLU(param_dtype=jnp.float64), "nnx.PReLU", "negative_slope"),
            "linen": refused(lambda: (ln.PReLU(), jnp.zeros((2, 5))), "linen.PReLU", "params/negative_slope"),
        }
    return Row(lambda: torch.nn.PReLU(count), [(2, 5)], ports)


class NnxBilinear(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.weight, self.bias = nnx.Param(jnp.zeros((7, 3, 5))), nnx.Param(jnp.zeros(7))

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.einsum("ni,oij,nj->no", x, self.weight[...], y) + self.bias[...]


class LinenBilinear(ln.Module):
    """Keeps the outputs last."""

    @ln.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        kernel = self.param("kernel", ln.initializers.zeros, (3, 5, 7), jnp.float64)
        return jnp.einsum("ni,ijo,nj->no", x, kernel, y) + self.param("bias", ln.initializers.zeros, (7,), jnp.float64)


class EquinoxBilinear(eqx.Module):
    weight: jax.Array
    bias: jax.Array

    def __init__(self, key: jax.Array) -> None:
        self.weight, self.bias = jnp.zeros((7, 3, 5)), jnp.zeros(7)

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.einsum("i,oij,j->o", x, self.weight, y) + self.bias


def haiku_bilinear(x: jax.Array, y: jax.Array) -> jax.Array:
    w = hk.get_parameter("w", (3, 5, 7), init=jnp.zeros)
    return jnp.einsum("ni,ijo,nj->no", x, w, y) + hk.get_parameter("b", (7,), init=jnp.zeros)


BILINEAR = Row(
    lambda: torch.nn.Bilinear(3, 5, 7),
    [(2, 3), (2, 5)],
    {
        "nnx": nnx_port(NnxBilinear, strict=False),
        "linen": linen_port(LinenBilinear, lambda: (jnp.zeros((2, 3)), jnp.zeros((2, 5))), strict=False),
        "equinox": equinox_port(EquinoxBilinear, strict=False),
        "haiku": haiku_port(haiku_bilinear, lambda: (jnp.zeros((2, 3)), jnp.zeros((2, 5))), strict=False),
    },
)


class TorchBare(torch.nn.Module):
    """A parameter and a buffer of the user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = torch.nn.Parameter(torch.ones(3, 5))
        self.register_buffer("shift", torch.linspace(0, 1, 5, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.temperature + self.shift


class NnxBare(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.temperature, self.shift = nnx.Param(jnp.zeros((3, 5))), nnx.BatchStat(jnp.zeros(5))

    def __call__(self, x: jax.Array) -> jax.Array:
        return x @ self.temperature[...] + self.shift[...]


class LinenBare(ln.Module):
    @ln.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shift = self.variable("constants", "shift", lambda: jnp.zeros(5))
        return x @ self.param("temperature", ln.initializers.zeros, (3, 5), jnp.float64) + shift.value


class EquinoxBare(eqx.Module):
    temperature: jax.Array
    shift: jax.Array

    def __init__(self, key: jax.Array) -> None:
        self.temperature, self.shift = jnp.zeros((3, 5)), jnp.zeros(5)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x @ self.temperature + self.shift


def haiku_bare(x: jax.Array) -> jax.Array:
    return x @ hk.get_parameter("temperature", (3, 5), init=jnp.zeros) + hk.get_state("shift", (5,), init=jnp.zeros)


BARE = Row(
    TorchBare,
    [(2, 3)],
    {
        "nnx": nnx_port(NnxBare),
        "linen": linen_port(LinenBare, zeros(2, 3), strict=False),
        "equinox": equinox_port(EquinoxBare),
        "haiku": haiku_port(haiku_bare, zeros(2, 3), state=True, strict=False),
    },
)


class TorchFlattened(torch.nn.Module):
    """A linear layer after a flattened convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 2)
        self.fc = torch.nn.Linear(3 * 4 * 5, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).flatten(1))


class NnxFlattened(nnx.Module):
    """Flattens (row, column, channel)."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(2, 3, (2, 2), padding="VALID", rngs=rngs, **F64)
        self.fc = nnx.Linear(60, 7, rngs=rngs, **F64)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.fc(self.conv(x).reshape(len(x), -1))


class NnxFlattenedLikeTorch(NnxFlattened):
    def __call__(self, x: jax.Array) -> jax.Array:
        return self.fc(first(self.conv(x)).reshape(len(x), -1))


class LinenFlattened(ln.Module):
    def setup(self) -> None:
        self.conv, self.fc = ln.Conv(3, (2, 2), padding="VALID", **F64), ln.Dense(7, **F64)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.fc(self.conv(x).reshape(len(x), -1))


class EquinoxFlattened(eqx.Module):
    """Has channels first, as torch."""

    conv: eqx.nn.Conv2d
    fc: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        self.conv, self.fc = eqx.nn.Conv2d(2, 3, 2, key=key), linear((60, 7), key)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.fc(self.conv(x).reshape(-1))


def haiku_flattened(x: jax.Array) -> jax.Array:
    x = hk.Conv2D(3, 2, padding="VALID", name="conv")(last(x))
    return hk.Linear(7, name="fc")(x.reshape(len(x), -1))


REORDERED = "regroup(axis=1, sizes=(3, 4, 5), order=(1, 2, 0)) | permute(1, 0)"


def _reordered(path: str) -> Mapping:
    return Mapping(rules=(Rule(("fc.weight",), (path,), parse(REORDERED), "flattened with channels last"),))


FLATTENED = Row(
    TorchFlattened,
    [(2, 2, 5, 6)],
    {
        "nnx": nnx_port(NnxFlattened, lambda m, x: m(last(x)), mapping=_reordered("fc/kernel")),
        "linen": linen_port(
            LinenFlattened, zeros(2, 5, 6, 2), lambda f, x: f(last(x)), mapping=_reordered("params/fc/kernel")
        ),
        "equinox": equinox_port(EquinoxFlattened),
        "haiku": haiku_port(haiku_flattened, zeros(2, 2, 5, 6), mapping=_reordered("params/fc/w")),
    },
)
FLATTENED_LIKE_TORCH = Row(
    TorchFlattened,
    [(2, 2, 5, 6)],
    {
        "nnx": nnx_port(NnxFlattenedLikeTorch, lambda m, x: m(last(x)), mapping=Mapping(layers=(Pairing("fc", "fc"),))),
        "linen": Absent("as NNX"),
        "equinox": Absent("as torch anyhow"),
        "haiku": Absent("as NNX"),
    },
)

ROWS: dict[str, Row] = {
    "Linear": _linear(3, 5),
    "Linear, square": _linear(7, 7),
    "Linear without bias": _linear(3, 5, bias=False),
    "Linear after flatten(conv), channels last": FLATTENED,
    "Linear after flatten(conv), as torch": FLATTENED_LIKE_TORCH,
    "Embedding with padding_idx": EMBEDDING,
    "Embedding tied to the output layer": TIED,
    "A layer shared": SHARED,
    "PReLU": _slopes(1),
    "PReLU per channel": _slopes(5),
    "Bilinear": BILINEAR,
    "Bare parameter and buffer": BARE,
}
