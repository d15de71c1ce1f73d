"""Wrong ports of single layers, as functions: each mistake is named first, and explains the error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch import nn

from tests.engine.explain.mistake import Mistake, Weights, normal

Port = Callable[..., Any]
Sides = tuple[int, int]

X = normal(3, 5)
IMAGE = normal(2, 4, 7, 6)
SEQUENCE = normal(2, 5, 6)


def layer_norm(
    w: Any, eps: float = 1e-5, *, ddof: int = 0, outside: bool = False, scale: bool = True, mean: bool = True
) -> Port:
    axes = (-1,)

    def call(x):
        m = x.mean(axes, keepdims=True) if mean else 0.0
        v = ((x - m) ** 2).sum(axes, keepdims=True) / (np.prod([x.shape[a] for a in axes]) - ddof)
        y = (x - m) / (jnp.sqrt(v) + eps if outside else jnp.sqrt(v + eps))
        return y * w["weight"] + w["bias"] if scale else y + w["bias"]

    return call


def group_norm(w: Weights, groups: int, eps: float = 1e-5, *, interleaved: bool = False) -> Port:
    axes = (2,)

    def call(x):
        b, c = x.shape[:2]
        y = x.reshape(b, groups, -1)
        if interleaved:
            y = x.reshape(b, c // groups, groups, -1).swapaxes(1, 2).reshape(b, groups, -1)
        y = (y - y.mean(axes, keepdims=True)) / jnp.sqrt(y.var(axes, keepdims=True) + eps)
        if interleaved:
            y = y.reshape(b, groups, c // groups, -1).swapaxes(1, 2)
        y = y.reshape(x.shape)
        return y * w["weight"][:, None, None] + w["bias"][:, None, None]

    return call


def channel_norm(w: Weights, eps: float = 1e-5) -> Port:
    def call(x):
        y = (x - x.mean(1, keepdims=True)) / jnp.sqrt(x.var(1, keepdims=True) + eps)
        return y * w["weight"][:, None, None] + w["bias"][:, None, None]

    return call


def rms_norm(w: Weights, eps: float) -> Port:
    return lambda x: x / jnp.sqrt((x * x).mean(-1, keepdims=True) + eps) * w["weight"]


def batch_norm(w: Weights, eps: float = 1e-5, *, stats: bool = False) -> Port:
    def call(x):
        axes = (0, 2, 3)
        mean, var = (x.mean(axes), x.var(axes)) if stats else (w["running_mean"], w["running_var"])
        mean, var, weight, bias = (v[:, None, None] for v in (mean, var, w["weight"], w["bias"]))
        return (x - mean) / jnp.sqrt(var + eps) * weight + bias

    return call


NORMS = (
    Mistake("norm-epsilon", lambda: nn.LayerNorm(5), lambda w: layer_norm(w, 1e-6), (X,)),
    Mistake("norm-epsilon", lambda: nn.LayerNorm(5), lambda w: layer_norm(w, 3.3e-4), (X,)),
    Mistake("norm-eps-outside-sqrt", lambda: nn.LayerNorm(5), lambda w: layer_norm(w, outside=True), (X,)),
    Mistake("norm-ddof", lambda: nn.LayerNorm(5), lambda w: layer_norm(w, ddof=1), (X,)),
    Mistake("norm-affine-dropped", lambda: nn.LayerNorm(5), lambda w: layer_norm(w, scale=False), (X,)),
    Mistake("layernorm-as-rms", lambda: nn.LayerNorm(5), lambda w: layer_norm(w, mean=False), (X,)),
    Mistake(
        "scale-bias-or-stats-swap",
        lambda: nn.LayerNorm(5),
        lambda w: layer_norm({"weight": w["bias"], "bias": w["weight"]}),
        (X,),
    ),
    Mistake("ln-normalized-shape", lambda: nn.LayerNorm((5, 6)), lambda w: layer_norm(w), (SEQUENCE,)),
    Mistake("gn-eps-default", lambda: nn.GroupNorm(2, 4), lambda w: group_norm(w, 2, 1e-6), (IMAGE,)),
    Mistake("gn1-as-layernorm", lambda: nn.GroupNorm(1, 4), channel_norm, (IMAGE,)),
    Mistake("norm-groups", lambda: nn.GroupNorm(2, 4), lambda w: group_norm(w, 4), (IMAGE,)),
    Mistake("group-interleave", lambda: nn.GroupNorm(2, 4), lambda w: group_norm(w, 2, interleaved=True), (IMAGE,)),
    Mistake("rms-eps-default", lambda: nn.RMSNorm(5), lambda w: rms_norm(w, 1e-6), (X,)),
    Mistake(
        "rms-as-layernorm",
        lambda: nn.RMSNorm(5, eps=1e-5),
        lambda w: layer_norm({**w, "bias": 0.0}),
        (X,),
    ),
    Mistake("bn-eps-keras", lambda: nn.BatchNorm2d(4), lambda w: batch_norm(w, 1e-3), (IMAGE,)),
    Mistake("bn-eval-uses-batch-stats", lambda: nn.BatchNorm2d(4), lambda w: batch_norm(w, stats=True), (IMAGE,)),
    Mistake(
        "lrn-alpha-per-n",
        lambda: nn.LocalResponseNorm(3, alpha=0.1),
        lambda w: (
            lambda x: (
                x
                / (1 + 0.1 * sum(jnp.pad(x**2, ((0, 0), (1, 1), (0, 0), (0, 0)))[:, i : i + 4] for i in range(3)))
                ** 0.75
            )
        ),
        (IMAGE,),
    ),
)


class Normalize(nn.Module):
    def forward(self, x: Any) -> Any:
        return nn.functional.normalize(x, dim=-1, eps=1e-3)


class Std(nn.Module):
    def forward(self, x: Any) -> Any:
        return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6)


FORMULAS = (
    Mistake(
        "l2norm-eps-form", Normalize, lambda w: lambda x: x / (jnp.linalg.norm(x, axis=-1, keepdims=True) + 1e-3), (X,)
    ),
    Mistake(
        "l2norm-eps-form", Normalize, lambda w: lambda x: x / jnp.sqrt((x * x).sum(-1, keepdims=True) + 1e-3), (X,)
    ),
    Mistake(
        "std-ddof", Std, lambda w: lambda x: (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + 1e-6), (X,)
    ),
    Mistake(
        "norm-epsilon",
        Std,
        lambda w: lambda x: (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True, ddof=1) + 1e-5),
        (X,),
    ),
)

ACTIVATIONS = (
    Mistake("gelu-tanh-default", nn.GELU, lambda w: jax.nn.gelu, (X,)),
    Mistake("gelu-tanh-default", lambda: nn.GELU("tanh"), lambda w: lambda x: jax.nn.gelu(x, approximate=False), (X,)),
    Mistake("quickgelu-swap", nn.GELU, lambda w: lambda x: x * jax.nn.sigmoid(1.702 * x), (X,)),
    Mistake("activation-swapped", nn.SiLU, lambda w: jax.nn.relu, (X,)),
    Mistake("activation-missing", nn.Tanh, lambda w: lambda x: x, (X,)),
    Mistake("hardsigmoid-keras", nn.Hardsigmoid, lambda w: lambda x: jnp.clip(0.2 * x + 0.5, 0, 1), (2 * X,)),
    Mistake("activation-limit-missing", nn.ReLU6, lambda w: jax.nn.relu, (9 * X,)),
    Mistake("softplus-beta-dropped", lambda: nn.Softplus(beta=3), lambda w: jax.nn.softplus, (X,)),
    Mistake("softplus-beta-dropped", lambda: nn.Softplus(2, 3), lambda w: jax.nn.softplus, (2 * X,)),
    Mistake("softplus-threshold", lambda: nn.Softplus(threshold=1), lambda w: jax.nn.softplus, (2 * X,)),
    Mistake("elu-alpha-dropped", lambda: nn.ELU(0.7), lambda w: jax.nn.elu, (X,)),
    Mistake("leaky-slope", lambda: nn.LeakyReLU(0.2), lambda w: jax.nn.leaky_relu, (X,)),
    Mistake("leaky-slope", nn.LeakyReLU, lambda w: lambda x: jnp.where(x > 0, x, 0.17 * x), (X,)),
    Mistake(
        "prelu-channel-axis",
        lambda: nn.PReLU(6),
        lambda w: lambda x: jnp.where(x > 0, x, w["weight"] * x),
        (normal(2, 6, 6),),
    ),
    Mistake(
        "glu-halves-swapped",
        lambda: nn.GLU(-1),
        lambda w: lambda x: jax.nn.sigmoid(x[..., :3]) * x[..., 3:],
        (SEQUENCE,),
    ),
    Mistake("softmax-axis", lambda: nn.Softmax(-1), lambda w: lambda x: jax.nn.softmax(x, 1), (SEQUENCE,)),
    Mistake("logsoftmax-naive", lambda: nn.LogSoftmax(-1), lambda w: lambda x: jnp.log(jax.nn.softmax(x)), (900 * X,)),
    Mistake("logsigmoid-naive", nn.LogSigmoid, lambda w: lambda x: jnp.log(jax.nn.sigmoid(x)), (900 * X,)),
)


SQUARE = normal(3, 6)
LINEARS = (
    Mistake(
        "linear-square-untransposed",
        lambda: nn.Linear(6, 6),
        lambda w: lambda x: x @ w["weight"] + w["bias"],
        (SQUARE,),
    ),
    Mistake(
        "linear-reshaped",
        lambda: nn.Linear(6, 5),
        lambda w: lambda x: x @ w["weight"].reshape(6, 5) + w["bias"],
        (SQUARE,),
    ),
    Mistake("bias-dropped", lambda: nn.Linear(6, 5), lambda w: lambda x: x @ w["weight"].T, (SQUARE,)),
    Mistake(
        "flatten-nhwc-order",
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(4 * 7 * 6, 5)),
        lambda w: lambda x: x.transpose(0, 2, 3, 1).reshape(2, -1) @ w["1.weight"].T + w["1.bias"],
        (IMAGE,),
    ),
    Mistake(
        "pixel-shuffle-order",
        lambda: nn.PixelShuffle(2),
        lambda w: lambda x: x.reshape(2, 2, 2, 3, 7, 6).transpose(0, 3, 4, 1, 5, 2).reshape(2, 3, 14, 12),
        (normal(2, 12, 7, 6),),
    ),
    Mistake(
        ("group-interleave",),
        lambda: nn.ChannelShuffle(2),
        lambda w: lambda x: x.reshape(2, 3, 2, 7, 6).swapaxes(1, 2).reshape(2, 6, 7, 6),
        (normal(2, 6, 7, 6),),
    ),
    Mistake(
        "unfold-patch-order",
        lambda: nn.Unfold(2),
        lambda w: (
            lambda x: jnp.stack(
                [x[:, :, i : 6 + i, j : 5 + j].reshape(2, 4, 30) for i in (0, 1) for j in (0, 1)], 1
            ).reshape(2, 16, 30)
        ),
        (IMAGE,),
    ),
    Mistake(
        "conversion-downcast",
        lambda: nn.Linear(6, 5),
        lambda w: lambda x: x @ w["weight"].astype(np.float16).T.astype(float) + w["bias"].astype(np.float16),
        (SQUARE,),
    ),
)

IDS = np.array([[1, 3, 0], [2, 2, 6]])
EMBEDDINGS = (
    Mistake(
        "embedding-scale", lambda: nn.Embedding(7, 5), lambda w: lambda i: jnp.asarray(w["weight"])[i] * 5**0.5, (IDS,)
    ),
    Mistake("position-offset", lambda: nn.Embedding(8, 5), lambda w: lambda i: jnp.asarray(w["weight"])[i + 1], (IDS,)),
    Mistake(
        "embedding-padding-row",
        lambda: nn.Embedding(7, 5, padding_idx=2),
        lambda w: lambda i: jnp.where((i == 2)[..., None], 0.0, jnp.asarray(w["weight"])[i]),
        (IDS,),
    ),
    Mistake(
        "ids-low-precision",
        lambda: nn.Embedding(600, 5),
        lambda w: lambda i: jnp.asarray(w["weight"])[i.astype(jnp.bfloat16).astype(int)],
        (np.array([[301, 503, 5]]),),
    ),
)

TABLE = (*NORMS, *FORMULAS, *ACTIVATIONS, *LINEARS, *EMBEDDINGS)


@pytest.mark.parametrize("mistake", TABLE, ids=[f"{m.causes[0]}-{i}" for i, m in enumerate(TABLE)])
def test_a_wrong_layer_is_named(mistake: Mistake) -> None:
    mistake.assert_named()
