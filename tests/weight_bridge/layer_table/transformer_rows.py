"""Rows of torch's transformer layers: modules whose children are attention, linear layers and normalisations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import flax.linen as ln
import haiku as hk
import jax
import jax.numpy as jnp
import torch
from flax import nnx

from tests.weight_bridge.layer_table.attention_rows import F64, HEADS, INIT, NNX, WIDTH
from tests.weight_bridge.layer_table.row import Row, equinox_port, haiku_port, linear, linen_port, nnx_port, zeros

EPS: dict[str, Any] = {"epsilon": 1e-5, "param_dtype": jnp.float64}
HIDDEN = 11


class NnxEncoderLayer(nnx.Module):
    """Norms after the residuals, as torch's default."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.self_attn = nnx.MultiHeadAttention(HEADS, WIDTH, rngs=rngs, **NNX)
        self.linear1, self.linear2 = (
            nnx.Linear(WIDTH, HIDDEN, rngs=rngs, **F64),
            nnx.Linear(HIDDEN, WIDTH, rngs=rngs, **F64),
        )
        self.norm1, self.norm2 = nnx.LayerNorm(WIDTH, rngs=rngs, **EPS), nnx.LayerNorm(WIDTH, rngs=rngs, **EPS)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.norm1(x + self.self_attn(x))
        return self.norm2(x + self.linear2(jax.nn.relu(self.linear1(x))))


class LinenEncoderLayer(ln.Module):
    def setup(self) -> None:
        self.self_attn = ln.MultiHeadDotProductAttention(HEADS, **F64)
        self.linear1, self.linear2 = ln.Dense(HIDDEN, **F64), ln.Dense(WIDTH, **F64)
        self.norm1, self.norm2 = ln.LayerNorm(**EPS), ln.LayerNorm(**EPS)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.norm1(x + self.self_attn(x, x))
        return self.norm2(x + self.linear2(jax.nn.relu(self.linear1(x))))


def _equinox_attention(key: jax.Array) -> eqx.nn.MultiheadAttention:
    every = {f"use_{part}_bias": True for part in ("query", "key", "value", "output")}
    return eqx.nn.MultiheadAttention(HEADS, WIDTH, key=key, **every)


class EquinoxEncoderLayer(eqx.Module):
    self_attn: eqx.nn.MultiheadAttention
    linear1: eqx.nn.Linear
    linear2: eqx.nn.Linear
    norm1: eqx.nn.LayerNorm
    norm2: eqx.nn.LayerNorm

    def __init__(self, key: jax.Array) -> None:
        self.self_attn = _equinox_attention(key)
        self.linear1, self.linear2 = linear((WIDTH, HIDDEN), key), linear((HIDDEN, WIDTH), key)
        self.norm1, self.norm2 = eqx.nn.LayerNorm(WIDTH), eqx.nn.LayerNorm(WIDTH)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = jax.vmap(self.norm1)(x + self.self_attn(x, x, x))
        return jax.vmap(lambda row: self.norm2(row + self.linear2(jax.nn.relu(self.linear1(row)))))(x)


def _haiku_norm(name: str) -> hk.LayerNorm:
    return hk.LayerNorm(-1, True, True, eps=1e-5, name=name)


def haiku_encoder_layer(x: jax.Array) -> jax.Array:
    attention = hk.MultiHeadAttention(HEADS, WIDTH // HEADS, w_init=INIT, name="self_attn")
    x = _haiku_norm("norm1")(x + attention(x, x, x))
    hidden = jax.nn.relu(hk.Linear(HIDDEN, name="linear1")(x))
    return _haiku_norm("norm2")(x + hk.Linear(WIDTH, name="linear2")(hidden))


ENCODER_LAYER = Row(
    lambda: torch.nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, dropout=0.0, batch_first=True),
    [(2, 5, WIDTH)],
    {
        "nnx": nnx_port(NnxEncoderLayer),
        "linen": linen_port(LinenEncoderLayer, zeros(2, 5, WIDTH)),
        "equinox": equinox_port(EquinoxEncoderLayer),
        "haiku": haiku_port(haiku_encoder_layer, zeros(2, 5, WIDTH)),
    },
    call=lambda layer, x: layer.train()(x),  # in evaluation torch takes a fused way that has no gradients
)


class NnxDecoderLayer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        build = lambda: nnx.MultiHeadAttention(HEADS, WIDTH, rngs=rngs, **NNX)  # noqa: E731  # a value, like the rows beside it
        self.self_attn, self.multihead_attn = build(), build()
        self.linear1, self.linear2 = (
            nnx.Linear(WIDTH, HIDDEN, rngs=rngs, **F64),
            nnx.Linear(HIDDEN, WIDTH, rngs=rngs, **F64),
        )
        self.norm1, self.norm2, self.norm3 = (nnx.LayerNorm(WIDTH, rngs=rngs, **EPS) for _ in range(3))

    def __call__(self, x: jax.Array, memory: jax.Array) -> jax.Array:
        x = self.norm1(x + self.self_attn(x))
        x = self.norm2(x + self.multihead_attn(x, memory, memory))
        return self.norm3(x + self.linear2(jax.nn.relu(self.linear1(x))))


class LinenDecoderLayer(ln.Module):
    def setup(self) -> None:
        self.self_attn = ln.MultiHeadDotProductAttention(HEADS, **F64)
        self.multihead_attn = ln.MultiHeadDotProductAttention(HEADS, **F64)
        self.linear1, self.linear2 = ln.Dense(HIDDEN, **F64), ln.Dense(WIDTH, **F64)
        self.norm1, self.norm2, self.norm3 = (ln.LayerNorm(**EPS) for _ in range(3))

    def __call__(self, x: jax.Array, memory: jax.Array) -> jax.Array:
        x = self.norm1(x + self.self_attn(x, x))
        x = self.norm2(x + self.multihead_attn(x, memory, memory))
        return self.norm3(x + self.linear2(jax.nn.relu(self.linear1(x))))


class EquinoxDecoderLayer(EquinoxEncoderLayer):
    multihead_attn: eqx.nn.MultiheadAttention
    norm3: eqx.nn.LayerNorm

    def __init__(self, key: jax.Array) -> None:
        super().__init__(key)
        self.multihead_attn, self.norm3 = _equinox_attention(key), eqx.nn.LayerNorm(WIDTH)

    def __call__(self, x: jax.Array, memory: jax.Array) -> jax.Array:  # type: ignore[override]  # Equinox leaves the arguments open
        x = jax.vmap(self.norm1)(x + self.self_attn(x, x, x))
        x = jax.vmap(self.norm2)(x + self.multihead_attn(x, memory, memory))
        return jax.vmap(lambda row: self.norm3(row + self.linear2(jax.nn.relu(self.linear1(row)))))(x)


def haiku_decoder_layer(x: jax.Array, memory: jax.Array) -> jax.Array:
    build: Callable[[str], Any] = lambda name: hk.MultiHeadAttention(  # noqa: E731  # a value, like the rows beside it
        HEADS, WIDTH // HEADS, w_init=INIT, name=name
    )
    x = _haiku_norm("norm1")(x + build("self_attn")(x, x, x))
    x = _haiku_norm("norm2")(x + build("multihead_attn")(x, memory, memory))
    hidden = jax.nn.relu(hk.Linear(HIDDEN, name="linear1")(x))
    return _haiku_norm("norm3")(x + hk.Linear(WIDTH, name="linear2")(hidden))


PAIR: Callable[[], Any] = lambda: (jnp.zeros((2, 3, WIDTH)), jnp.zeros((2, 5, WIDTH)))  # noqa: E731  # a value, like the rows beside it
DECODER_LAYER = Row(
    lambda: torch.nn.TransformerDecoderLayer(WIDTH, HEADS, HIDDEN, dropout=0.0, batch_first=True),
    [(2, 3, WIDTH), (2, 5, WIDTH)],
    {
        "nnx": nnx_port(NnxDecoderLayer),
        "linen": linen_port(LinenDecoderLayer, PAIR),
        "equinox": equinox_port(EquinoxDecoderLayer),
        "haiku": haiku_port(haiku_decoder_layer, PAIR),
    },
)

ROWS: dict[str, Row] = {"TransformerEncoderLayer": ENCODER_LAYER, "TransformerDecoderLayer": DECODER_LAYER}
