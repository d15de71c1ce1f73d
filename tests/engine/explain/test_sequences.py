"""Wrong attention and recurrent layers, as functions: each mistake is named first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

from tests.engine.explain.mistake import Mistake, Weights, normal

Port = Callable[..., Any]
Order = tuple[int, int, int]

B, T, H, D = 2, 5, 3, 4
E = H * D
X = normal(B, T, E)
MASK = np.triu(np.ones((T, T), bool), 1)


class SelfAttention(nn.Module):
    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(E, H, rate, batch_first=True)

    def forward(self, x: Any, mask: Any = None) -> Any:
        return self.mha(x, x, x, attn_mask=mask, need_weights=False)[0]


def attend(
    w: Weights,
    *,
    scale: float = D**-0.5,
    keep: Callable[[Any], Any] | None = None,
    order: Order = (0, 1, 2),
    split: str = "hd",
    merge: str = "hd",
    blocked: float = -jnp.inf,
    prefix: str = "mha.",
    dropped: tuple[int, ...] = (),
) -> Port:
    def call(x, mask=None):
        kernels = np.split(w[f"{prefix}in_proj_weight"], 3)
        biases = np.split(w[f"{prefix}in_proj_bias"], 3)
        parts = [x @ kernels[i].T + biases[i] for i in order]
        if split == "hd":
            q, k, v = (p.reshape(B, T, H, D).swapaxes(1, 2) for p in parts)
        else:
            q, k, v = (p.reshape(B, T, D, H).transpose(0, 3, 1, 2) for p in parts)
        logits = q @ k.swapaxes(-1, -2) * scale
        if mask is not None and keep is not None:
            logits = jnp.where(keep(mask), logits, blocked)
        weights = jax.nn.softmax(logits)
        if dropped:
            weights = weights * jax.random.bernoulli(jax.random.key(0), 0.75, dropped) / 0.75
        y = weights @ v
        y = y.swapaxes(1, 2).reshape(B, T, E) if merge == "hd" else y.reshape(B, T, E)
        return y @ w[f"{prefix}out_proj.weight"].T + w[f"{prefix}out_proj.bias"]

    return call


class ByHand(nn.Module):
    """Attention as people write it."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(E, 3 * E)

    def forward(self, x: Any) -> Any:
        q, k, v = (p.reshape(B, T, H, D).transpose(1, 2) for p in self.qkv(x).chunk(3, -1))
        logits = q @ k.transpose(-2, -1) / D**0.5
        mask = torch.ones(T, T, dtype=torch.bool).tril()
        y = torch.softmax(logits.masked_fill(~mask, -torch.inf), -1) @ v
        return y.transpose(1, 2).reshape(B, T, E)


def by_hand(
    w: Weights,
    *,
    k: int = 0,
    order: Order = (0, 1, 2),
    fused: str = "parts",
    scale: float = D**-0.5,
    merge: bool = True,
) -> Port:
    def call(x):
        y = x @ w["qkv.weight"].T + w["qkv.bias"]
        if fused == "parts":
            parts = jnp.split(y, 3, -1)
            q, key, v = (parts[i].reshape(B, T, H, D).swapaxes(1, 2) for i in order)
        else:
            q, key, v = jnp.moveaxis(y.reshape(B, T, H, 3, D), (3, 2), (0, 2))
        logits = jnp.where(np.tril(np.ones((T, T), bool), k), q @ key.swapaxes(-1, -2) * scale, -jnp.inf)
        y = jax.nn.softmax(logits) @ v
        return y.swapaxes(1, 2).reshape(B, T, E) if merge else y.reshape(B, T, E)

    return call


class Flash(nn.Module):
    def forward(self, q: Any, k: Any, v: Any) -> Any:
        return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def flash(scale: float = D**-0.5, k: int = 0) -> Port:
    def call(q, key, v):
        logits = jnp.where(np.tril(np.ones((T, T), bool), k), q @ key.swapaxes(-1, -2) * scale, -jnp.inf)
        return jax.nn.softmax(logits) @ v

    return call


QKV = tuple(normal(B, H, T, D, seed=i) for i in range(3))


class Rotary(nn.Module):
    def forward(self, x: Any) -> Any:
        d = x.shape[-1]
        angles = torch.outer(
            torch.arange(x.shape[1], dtype=x.dtype), 10000.0 ** (-torch.arange(0, d, 2, dtype=x.dtype) / d)
        )
        angles = torch.cat((angles, angles), -1)
        a, b = x.chunk(2, -1)
        return x * angles.cos() + torch.cat((-b, a), -1) * angles.sin()


def rotary(base: float = 10000.0, pairs: bool = False) -> Port:
    def call(x):
        d = x.shape[-1]
        angles = jnp.outer(jnp.arange(x.shape[1]), base ** (-jnp.arange(0, d, 2) / d))
        if pairs:
            angles = jnp.repeat(angles, 2, -1)
            turned = jnp.stack((-x[..., 1::2], x[..., ::2]), -1).reshape(x.shape)
        else:
            angles = jnp.concatenate((angles, angles), -1)
            a, b = jnp.split(x, 2, -1)
            turned = jnp.concatenate((-b, a), -1)
        return x * jnp.cos(angles) + turned * jnp.sin(angles)

    return call


ATTENTION = (
    Mistake("attn-scale-dim", SelfAttention, lambda w: attend(w, scale=E**-0.5), (X,)),
    Mistake("attn-scale-dim", SelfAttention, lambda w: attend(w, scale=1.0), (X,)),
    Mistake(
        "attn-mask-polarity",
        SelfAttention,
        lambda w: attend(w, keep=lambda m: m),
        (X, MASK & ~np.eye(T, dtype=bool) | np.eye(T, k=1, dtype=bool)),
    ),
    Mistake("attn-mask-missing", SelfAttention, lambda w: attend(w), (X, MASK)),
    Mistake(
        "attn-finite-mask-value", SelfAttention, lambda w: attend(w, keep=lambda m: ~m, blocked=-1e4), (300 * X, MASK)
    ),
    Mistake("qkv-fused-order", SelfAttention, lambda w: attend(w, order=(0, 2, 1)), (X,)),
    Mistake("head-split-order", SelfAttention, lambda w: attend(w, split="dh"), (X,)),
    Mistake("head-merge-no-transpose", SelfAttention, lambda w: attend(w, merge="raw"), (X,)),
    Mistake("attn-scale-dim", ByHand, lambda w: by_hand(w, scale=E**-0.5), (X,)),
    Mistake("causal-off-by-one", ByHand, lambda w: by_hand(w, k=1), (X,)),
    Mistake("qkv-fused-order", ByHand, lambda w: by_hand(w, fused="heads"), (X,)),
    Mistake("qkv-fused-order", ByHand, lambda w: by_hand(w, order=(1, 0, 2)), (X,)),
    Mistake("head-merge-no-transpose", ByHand, lambda w: by_hand(w, merge=False), (X,)),
    Mistake("attn-scale-dim", Flash, lambda w: flash(1 / D), QKV),
    Mistake("causal-off-by-one", Flash, lambda w: flash(k=1), QKV),
    Mistake("rope-base", Rotary, lambda w: rotary(500000.0), (normal(B, T, 6),)),
    Mistake("rope-pairing", Rotary, lambda w: rotary(pairs=True), (normal(B, T, 6),)),
)


class Outputs(nn.Module):
    """The outputs of a recurrent layer without its state."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any) -> Any:
        return self.layer(x)[0]


N = 4


def lstm(w: Weights, order: str = "ifgo", second: bool = True, forget: float = 0.0) -> Port:
    def call(x):
        h = c = jnp.zeros((B, N))
        found = []
        for t in range(T):
            z = x[:, t] @ w["layer.weight_ih_l0"].T + h @ w["layer.weight_hh_l0"].T + w["layer.bias_ih_l0"]
            z = z + w["layer.bias_hh_l0"] * second
            gates = dict(zip(order, jnp.split(z, 4, -1), strict=True))
            c = jax.nn.sigmoid(gates["f"] + forget) * c + jax.nn.sigmoid(gates["i"]) * jnp.tanh(gates["g"])
            h = jax.nn.sigmoid(gates["o"]) * jnp.tanh(c)
            found.append(h)
        return jnp.stack(found, 1)

    return call


def gru(w: Weights, reset: str = "after", order: str = "rzn") -> Port:
    def call(x):
        h, found = jnp.zeros((B, N)), []
        for t in range(T):
            given = dict(
                zip(order, jnp.split(x[:, t] @ w["layer.weight_ih_l0"].T + w["layer.bias_ih_l0"], 3, -1), strict=True)
            )
            kept = dict(zip(order, jnp.split(h @ w["layer.weight_hh_l0"].T, 3, -1), strict=True))
            bias = dict(zip(order, np.split(w["layer.bias_hh_l0"], 3), strict=True))
            r = jax.nn.sigmoid(given["r"] + kept["r"] + bias["r"])
            z = jax.nn.sigmoid(given["z"] + kept["z"] + bias["z"])
            if reset == "after":
                inner = r * (kept["n"] + bias["n"])
            elif reset == "before":
                inner = (r * h) @ np.split(w["layer.weight_hh_l0"], 3)[2].T + bias["n"]
            else:
                inner = r * kept["n"] + bias["n"]
            h = (1 - z) * jnp.tanh(given["n"] + inner) + z * h
            found.append(h)
        return jnp.stack(found, 1)

    return call


def plain(w: Weights, x: Any, suffix: str) -> Any:
    h, found = jnp.zeros((B, N)), []
    for t in range(T):
        h = jnp.tanh(
            x[:, t] @ w[f"layer.weight_ih_l0{suffix}"].T
            + h @ w[f"layer.weight_hh_l0{suffix}"].T
            + w[f"layer.bias_ih_l0{suffix}"]
            + w[f"layer.bias_hh_l0{suffix}"]
        )
        found.append(h)
    return jnp.stack(found, 1)


def both_ways(w: Weights) -> Port:
    return lambda x: jnp.concatenate((plain(w, x, ""), plain(w, x[:, ::-1], "_reverse")), -1)


class Ragged(nn.Module):
    """Both directions over rows of different lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.RNN(6, N, batch_first=True, bidirectional=True)

    def forward(self, x: Any, lengths: Any) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(self.layer(packed)[0], batch_first=True, total_length=T)[0]


def ragged(w: Weights, *, padded: bool) -> Port:
    """Turns the padding round with the rest, or leaves the outputs turned round."""

    def call(x, lengths):
        steps, ends = jnp.arange(T)[None], lengths[:, None]
        mirrored = jnp.where(steps < ends, ends - 1 - steps, steps)[..., None]
        turned = x[:, ::-1] if padded else jnp.take_along_axis(x, mirrored, 1)
        backward = plain(w, turned, "_reverse")
        y = jnp.concatenate((plain(w, x, ""), backward[:, ::-1] if padded else backward), -1)
        return jnp.where((steps < ends)[..., None], y, 0)

    return call


S, LENGTHS = normal(B, T, 6), np.array([3, 5])
RECURRENT = (
    Mistake("gate-order", lambda: Outputs(nn.LSTM(6, N, batch_first=True)), lambda w: lstm(w, "igfo"), (S,)),
    Mistake(
        "lstm-second-bias-dropped",
        lambda: Outputs(nn.LSTM(6, N, batch_first=True)),
        lambda w: lstm(w, second=False),
        (S,),
    ),
    Mistake(
        "lstm-forget-offset", lambda: Outputs(nn.LSTM(6, N, batch_first=True)), lambda w: lstm(w, forget=1.0), (S,)
    ),
    Mistake("gru-reset-placement", lambda: Outputs(nn.GRU(6, N, batch_first=True)), lambda w: gru(w, "before"), (S,)),
    Mistake(
        "gru-candidate-bias-merged", lambda: Outputs(nn.GRU(6, N, batch_first=True)), lambda w: gru(w, "merged"), (S,)
    ),
    Mistake("gate-order", lambda: Outputs(nn.GRU(6, N, batch_first=True)), lambda w: gru(w, order="zrn"), (S,)),
    Mistake("birnn-reverse-padding", Ragged, lambda w: ragged(w, padded=True), (S, LENGTHS)),
    Mistake("rnn-keep-order", Ragged, lambda w: ragged(w, padded=False), (S, LENGTHS)),
    Mistake("rnn-keep-order", lambda: Outputs(nn.RNN(6, N, batch_first=True, bidirectional=True)), both_ways, (S,)),
)

DROPPED = tuple(
    Mistake(
        "attn-dropout-broadcast",
        lambda: SelfAttention(0.25),
        lambda w, shape=shape: attend(w, dropped=shape),
        (X,),
        train=True,
    )
    for shape in ((B, 1, T, T), (1, 1, T, T))
)

TABLE = (*ATTENTION, *DROPPED, *RECURRENT)


@pytest.mark.parametrize("mistake", TABLE, ids=[f"{m.causes[0]}-{i}" for i, m in enumerate(TABLE)])
def test_a_wrong_sequence_layer_is_named(mistake: Mistake) -> None:
    mistake.assert_named()


class Tabled(nn.Module):
    """What is given times a stored table."""

    def __init__(self, table: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("table", torch.as_tensor(table), persistent=False)

    def forward(self, x: Any) -> Any:
        return x * self.table


@pytest.mark.parametrize("kind", ["sines", "mask"])
def test_only_sines_are_a_table_of_positions(kind: str) -> None:
    angles = np.outer(np.arange(7), 100.0 ** (-np.arange(0, 6, 2) / 6))
    sines = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(7, 6)
    table = {"sines": sines, "mask": np.tril(np.ones((7, 6)))}[kind]
    halves = np.concatenate([table[:, ::2], table[:, 1::2]], -1)
    report = Mistake(
        "position-halves", lambda: Tabled(table), lambda w: lambda x: x * halves, (normal(3, 7, 6),)
    ).report()
    assert ("position-halves" in {cause.id for cause in report.causes}) is (kind == "sines"), report
