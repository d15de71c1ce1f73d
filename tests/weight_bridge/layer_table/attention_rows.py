"""Rows of attention, and of its projections packed in one layer."""

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
from flax.nnx.nn.attention import dot_product_attention_weights

from tests.weight_bridge.layer_table.row import (
    F64,
    Absent,
    Port,
    Refused,
    Row,
    equinox_port,
    haiku_port,
    linear,
    linen_port,
    nnx_port,
    zeros,
)

EPS: dict[str, Any] = {"epsilon": 1e-5, "param_dtype": jnp.float64}
WIDTH, HEADS, HIDDEN = 6, 2, 11
INIT = hk.initializers.RandomNormal()


def in_float64(query: jax.Array, key: jax.Array, value: jax.Array, **_: Any) -> jax.Array:
    """NNX's own attention; its default leaves it to `jax.nn.dot_product_attention`, whose softmax is in float32
    whatever the inputs are: 2e-8 of error in float64 that no weights cause.
    """
    weights = dot_product_attention_weights(query, key, deterministic=True)
    return jnp.einsum("...hqk,...khd->...qhd", weights, value)


NNX: dict[str, Any] = {"decode": False, "attention_fn": in_float64} | F64


def _attend(layer: torch.nn.MultiheadAttention, *inputs: torch.Tensor) -> torch.Tensor:
    return layer(*inputs, need_weights=False)[0]


def _self(layer: torch.nn.MultiheadAttention, x: torch.Tensor) -> torch.Tensor:
    return _attend(layer, x, x, x)


def _haiku_attention(bias: bool = True) -> hk.MultiHeadAttention:
    return hk.MultiHeadAttention(HEADS, WIDTH // HEADS, w_init=INIT, with_bias=bias)


def _attention(*, bias: bool = True) -> Row:
    every = {f"use_{part}_bias": bias for part in ("query", "key", "value", "output")}
    return Row(
        lambda: torch.nn.MultiheadAttention(WIDTH, HEADS, bias=bias, batch_first=True),
        [(2, 5, WIDTH)],
        {
            "nnx": nnx_port(
                lambda rngs: nnx.MultiHeadAttention(HEADS, WIDTH, use_bias=bias, rngs=rngs, **NNX),
            ),
            "linen": linen_port(
                lambda: ln.MultiHeadDotProductAttention(HEADS, use_bias=bias, **F64), zeros(2, 5, WIDTH)
            ),
            "equinox": equinox_port(
                lambda key: eqx.nn.MultiheadAttention(HEADS, WIDTH, key=key, **every),
                lambda m, x: jax.vmap(lambda row: m(row, row, row))(x),
            ),
            "haiku": haiku_port(lambda x: _haiku_attention(bias)(x, x, x), zeros(2, 5, WIDTH)),
        },
        call=_self,
    )


# Keys and values of other widths: torch keeps three matrices and packs their biases.
SEPARATE = Row(
    lambda: torch.nn.MultiheadAttention(WIDTH, HEADS, kdim=5, vdim=7, batch_first=True),
    [(2, 3, WIDTH), (2, 5, 5), (2, 5, 7)],
    {
        "nnx": Absent("one width for keys and values (in_kv_features)"),
        "linen": linen_port(
            lambda: ln.MultiHeadDotProductAttention(HEADS, out_features=WIDTH, qkv_features=WIDTH, **F64),
            lambda: (jnp.zeros((2, 3, WIDTH)), jnp.zeros((2, 5, 5)), jnp.zeros((2, 5, 7))),
        ),
        "equinox": equinox_port(
            lambda key: eqx.nn.MultiheadAttention(
                HEADS,
                WIDTH,
                key_size=5,
                value_size=7,
                use_query_bias=True,
                use_key_bias=True,
                use_value_bias=True,
                use_output_bias=True,
                key=key,
            )
        ),
        "haiku": haiku_port(
            lambda q, k, v: _haiku_attention()(q, k, v),
            lambda: (jnp.zeros((2, 3, WIDTH)), jnp.zeros((2, 5, 5)), jnp.zeros((2, 5, 7))),
        ),
    },
    call=_attend,
)


def _with_extra_key() -> Row:
    line = (
        "bias_k: torch's MultiheadAttention was built with add_bias_kv=True; no target appends a learned key and value"
    )
    x = jnp.zeros((2, 5, WIDTH))
    return Row(
        lambda: torch.nn.MultiheadAttention(WIDTH, HEADS, add_bias_kv=True, batch_first=True),
        [(2, 5, WIDTH)],
        {
            "nnx": Refused(lambda: nnx.MultiHeadAttention(HEADS, WIDTH, rngs=nnx.Rngs(0), **NNX), line),
            "linen": Refused(lambda: (ln.MultiHeadDotProductAttention(HEADS, **F64), x), line),
            "equinox": Refused(lambda: eqx.nn.MultiheadAttention(HEADS, WIDTH, key=jax.random.key(0)), line),
            "haiku": Refused(lambda: (hk.transform(lambda x: _haiku_attention()(x, x, x)), x), line),
        },
        call=_self,
    )


def _other_heads() -> Row:
    """As many features in other heads have the same shapes in some libraries; the types tell."""
    line = "{}: {} has 3 heads, torch.MultiheadAttention 2"
    x = jnp.zeros((2, 5, WIDTH))

    def haiku_layer(x: jax.Array) -> jax.Array:
        return hk.MultiHeadAttention(3, 2, w_init=INIT, name="mha")(x, x, x)

    return Row(
        lambda: torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True),
        [(2, 5, WIDTH)],
        {
            "nnx": Refused(
                lambda: nnx.MultiHeadAttention(3, WIDTH, rngs=nnx.Rngs(0), **NNX),
                line.format("query/bias", "nnx.MultiHeadAttention"),
            ),
            "linen": Refused(
                lambda: (ln.MultiHeadDotProductAttention(3, **F64), x),
                line.format("params/query/bias", "linen.MultiHeadDotProductAttention"),
            ),
            "equinox": Refused(
                lambda: eqx.nn.MultiheadAttention(3, WIDTH, key=jax.random.key(0)),
                line.format("query_proj/weight", "equinox.MultiheadAttention"),
            ),
            "haiku": Refused(
                lambda: (hk.transform(haiku_layer), x), line.format("params/mha/query/b", "haiku.MultiHeadAttention")
            ),
        },
        call=_self,
    )


class TorchPacked(torch.nn.Module):
    """Query, key and value from one linear layer, attention with one head."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(torch.nn.functional.scaled_dot_product_attention(*self.qkv(x).chunk(3, -1)))


class TorchSplit(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.proj = (torch.nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return self.proj(torch.nn.functional.scaled_dot_product_attention(*parts))


def _one_head(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    return jax.nn.softmax(q @ k.swapaxes(-1, -2) / WIDTH**0.5) @ v


class NnxPacked(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.qkv = nnx.Linear(WIDTH, 3 * WIDTH, rngs=rngs, **F64)
        self.proj = nnx.Linear(WIDTH, WIDTH, rngs=rngs, **F64)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.proj(_one_head(*jnp.split(self.qkv(x), 3, -1)))


class NnxSplit(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.query, self.key, self.value, self.proj = (nnx.Linear(WIDTH, WIDTH, rngs=rngs, **F64) for _ in range(4))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.proj(_one_head(self.query(x), self.key(x), self.value(x)))


class LinenPacked(ln.Module):
    def setup(self) -> None:
        self.qkv, self.proj = ln.Dense(3 * WIDTH, **F64), ln.Dense(WIDTH, **F64)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.proj(_one_head(*jnp.split(self.qkv(x), 3, -1)))


class LinenSplit(ln.Module):
    def setup(self) -> None:
        self.query, self.key, self.value, self.proj = (ln.Dense(WIDTH, **F64) for _ in range(4))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.proj(_one_head(self.query(x), self.key(x), self.value(x)))


class EquinoxPacked(eqx.Module):
    qkv: eqx.nn.Linear
    proj: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        self.qkv, self.proj = linear((WIDTH, 3 * WIDTH), key), linear((WIDTH, WIDTH), key)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.vmap(self.proj)(_one_head(*jnp.split(jax.vmap(self.qkv)(x), 3, -1)))


class EquinoxSplit(eqx.Module):
    query: eqx.nn.Linear
    key: eqx.nn.Linear
    value: eqx.nn.Linear
    proj: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        self.query, self.key, self.value, self.proj = (linear((WIDTH, WIDTH), key) for _ in range(4))

    def __call__(self, x: jax.Array) -> jax.Array:
        parts = (jax.vmap(layer)(x) for layer in (self.query, self.key, self.value))
        return jax.vmap(self.proj)(_one_head(*parts))


def haiku_packed(x: jax.Array) -> jax.Array:
    return hk.Linear(WIDTH, name="proj")(_one_head(*jnp.split(hk.Linear(3 * WIDTH, name="qkv")(x), 3, -1)))


def haiku_split(x: jax.Array) -> jax.Array:
    parts = [hk.Linear(WIDTH, name=name)(x) for name in ("query", "key", "value")]
    return hk.Linear(WIDTH, name="proj")(_one_head(*parts))


def _packing(source: Callable[[], torch.nn.Module], ports: dict[str, Port]) -> Row:
    # A bias of the keys shifts all logits of a query alike, which softmax ignores.
    return Row(source, [(2, 5, WIDTH)], ports, flat=frozenset({"k_proj.bias"}))


X = zeros(2, 5, WIDTH)
UNPACKED = _packing(
    TorchPacked,
    {
        "nnx": nnx_port(NnxSplit, strict=False),
        "linen": linen_port(LinenSplit, X, strict=False),
        "equinox": equinox_port(EquinoxSplit, strict=False),
        "haiku": haiku_port(haiku_split, X, strict=False),
    },
)
PACKED = _packing(
    TorchSplit,
    {
        "nnx": nnx_port(NnxPacked, strict=False),
        "linen": linen_port(LinenPacked, X, strict=False),
        "equinox": equinox_port(EquinoxPacked, strict=False),
        "haiku": haiku_port(haiku_packed, X, strict=False),
    },
)

ROWS: dict[str, Row] = {
    "MultiheadAttention": _attention(),
    "MultiheadAttention without bias": _attention(bias=False),
    "MultiheadAttention, separate widths": SEPARATE,
    "MultiheadAttention, add_bias_kv": _with_extra_key(),
    "MultiheadAttention, other heads": _other_heads(),
    "Packed q, k, v into three layers": UNPACKED,
    "Three layers into packed q, k, v": PACKED,
}
