"""Wrong losses, gradients, buffers, orders and arithmetic: each mistake is named first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
import torch.nn.functional as F
from torch import distributions as D
from torch import nn

from tests.engine.explain.mistake import Mistake, normal

X, Y = normal(3, 5), normal(3, 5, seed=1)
P = np.exp(X) / np.exp(X).sum(-1, keepdims=True)
Q = np.exp(Y) / np.exp(Y).sum(-1, keepdims=True)
LABELS = np.array([1, -100, 4])
CLASSES = np.array([1.0, 2.0, 0.5, 1.5, 3.0])


class Of(nn.Module):
    """A torch function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


def row(
    cause: str | tuple[str, ...],
    reference: Callable[..., Any],
    candidate: Callable[..., Any],
    *inputs: Any,
    check: str = "forward",
) -> Mistake:
    return Mistake(cause, lambda: Of(reference), lambda w: candidate, tuple(map(np.asarray, inputs)), check)


def nll(x: Any, labels: Any, keep: bool = True) -> Any:
    found = -jax.nn.log_softmax(x)[jnp.arange(3), jnp.where(labels == -100, 0, labels)]
    return jnp.where(labels == -100, 0.0, found) if keep else found


LOSSES = (
    row("mse-half", F.mse_loss, lambda x, y: optax.l2_loss(x, y).mean(), X, Y),
    row("loss-sum-vs-mean", F.mse_loss, lambda x, y: ((x - y) ** 2).sum(), X, Y),
    row("loss-sum-vs-mean", F.l1_loss, lambda x, y: jnp.abs(x - y).sum(-1).mean(), X, Y),
    row(
        "smoothl1-vs-huber",
        lambda x, y: F.smooth_l1_loss(x, y, beta=0.5),
        lambda x, y: optax.huber_loss(x, y, delta=0.5).mean(),
        X,
        Y,
    ),
    row("ce-ignore-index", F.cross_entropy, lambda x, y: nll(x, y, keep=False).mean(), X, LABELS),
    row("ce-ignore-index", F.cross_entropy, lambda x, y: nll(x, y).mean(), X, LABELS),
    row(
        "ce-class-weight-norm",
        lambda x, y: F.cross_entropy(x, y, torch.as_tensor(CLASSES)),
        lambda x, y: (nll(x, y) * jnp.asarray(CLASSES)[y]).sum() / 2,
        X,
        LABELS,
    ),
    row(
        "label-smoothing-denominator",
        lambda x, y: F.cross_entropy(x, y, label_smoothing=0.2),
        lambda x, y: (
            -(jax.nn.log_softmax(x) * (0.8 * jax.nn.one_hot(y, 5) + 0.05 * (1 - jax.nn.one_hot(y, 5)))).sum(-1).mean()
        ),
        X,
        np.array([1, 0, 4]),
    ),
    row(
        "kl-reduction",
        lambda x, y: F.kl_div(x, y, reduction="batchmean"),
        lambda x, y: (y * (jnp.log(y) - x)).mean(),
        np.log(P),
        Q,
    ),
    row(
        "kl-argument-order",
        lambda x, y: F.kl_div(x, y, reduction="batchmean"),
        lambda x, y: (jnp.exp(x) * (x - jnp.log(y))).sum() / 3,
        np.log(P),
        Q,
    ),
    row(
        "bce-logits-naive",
        F.binary_cross_entropy_with_logits,
        lambda x, y: -(y * jnp.log(jax.nn.sigmoid(x)) + (1 - y) * jnp.log(1 - jax.nn.sigmoid(x))).mean(),
        900 * X,
        Q,
    ),
    row(
        "gaussian-nll-clamp",
        F.gaussian_nll_loss,
        lambda m, y, v: 0.5 * (jnp.log(v) + (m - y) ** 2 / v).mean(),
        X,
        Y,
        np.full((3, 5), 1e-9),
    ),
    row(
        "cosine-global",
        lambda x, y: F.cosine_similarity(x, y, dim=-1),
        lambda x, y: jnp.full(3, (x * y).sum() / jnp.linalg.norm(x) / jnp.linalg.norm(y)),
        X,
        Y,
    ),
    row("pairwise-distance-eps", F.pairwise_distance, lambda x, y: jnp.linalg.norm(x - y, axis=-1), X, Y),
)

INTS = np.array([-7, -3, 1, 5])
ORDERS = (
    row("floor-vs-trunc-division", lambda x: x // 2, lambda x: jax.lax.div(x, jnp.asarray(2, x.dtype)), INTS),
    row("remainder-sign", lambda x: torch.remainder(x, 3), lambda x: jnp.fmod(x, 3), INTS),
    row("roll-direction", lambda x: torch.roll(x, 2, -1), lambda x: jnp.roll(x, -2, -1), X),
    row("cumsum-kind", lambda x: torch.cumsum(x, -1), lambda x: jnp.cumsum(x, -1) - x, X),
    row("median-even", lambda x: torch.median(x, -1).values, lambda x: jnp.median(x, -1), normal(3, 6)),
    row("sort-direction", lambda x: torch.sort(x, -1).values, lambda x: -jnp.sort(-x, -1), X),
    row("where-branches-swapped", lambda x: torch.where(x > 0, x, 3 * x), lambda x: jnp.where(x > 0, 3 * x, x), X),
    row(
        "bucketize-side",
        lambda x: torch.bucketize(x, torch.tensor([0.0, 1.0, 2.0]).to(x)),
        lambda x: jnp.digitize(x, jnp.array([0.0, 1.0, 2.0])),
        np.array([0.0, 0.5, 1.0]),
    ),
    row(
        "inverse-permutation",
        lambda x: torch.argsort(x),
        lambda x: jnp.argsort(jnp.argsort(x)),
        np.array([3.0, 1.0, 5.0, 2.0, 0.5]),
    ),
    row("rounding-mode", torch.round, lambda x: jnp.floor(x + 0.5), np.array([0.5, 1.5, 2.5])),
    row("repeat-vs-tile", lambda x: x.repeat(1, 2), lambda x: jnp.repeat(x, 2, 1), X),
    row(
        "head-split-order",
        lambda x: x.reshape(2, 5, 3, 4),
        lambda x: x.reshape(2, 5, 4, 3).swapaxes(-1, -2),
        normal(2, 5, 12),
    ),
    row("missing-keepdims", lambda x: x - x.mean(-1, keepdim=True), lambda x: x - x.mean(-1), normal(5, 5)),
    row("concat-order", lambda x, y: torch.cat((x, y), -1), lambda x, y: jnp.concatenate((y, x), -1), X, Y),
)


def straight(x: Any) -> Any:
    return x + (torch.round(x) - x).detach()


def absolute(x: Any) -> Any:
    return x.abs().sum()


ZEROS = np.array([[0.0, 1.0, -2.0], [3.0, 0.0, 0.0]])


class Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return -g


GRADIENTS = (
    row(
        "stop-gradient-extra",
        lambda x: torch.sigmoid(x) * x,
        lambda x: jax.nn.sigmoid(jax.lax.stop_gradient(x)) * x,
        X,
        check="input_grad",
    ),
    row(
        "stop-gradient-missing", lambda x: x * torch.tanh(x).detach(), lambda x: x * jnp.tanh(x), X, check="input_grad"
    ),
    row("straight-through-lost", straight, jnp.round, X, check="input_grad"),
    row("custom-backward-dropped", lambda x: Reversal.apply(x), lambda x: x * 1.0, X, check="input_grad"),
    row("relu-subgradient", torch.relu, lambda x: jnp.maximum(x, 0), ZEROS, check="input_grad"),
    row("l1-at-zero", absolute, lambda x: jnp.where(x >= 0, x, -x).sum(), ZEROS, check="input_grad"),
    row(
        "max-tie-gradient",
        lambda x: torch.max(x, -1).values,
        lambda x: jnp.max(x, -1),
        np.array([[1.0, 1.0, 0.0], [2.0, 3.0, 3.0]]),
        check="input_grad",
    ),
    row(
        "norm-at-zero",
        lambda x: torch.linalg.vector_norm(x, dim=-1),
        lambda x: jnp.sqrt((x * x).sum(-1)),
        np.array([[0.0, 0.0], [3.0, 4.0]]),
        check="input_grad",
    ),
    row(
        "prod-via-log",
        lambda x: torch.prod(x, -1),
        lambda x: jnp.exp(jnp.log(x).sum(-1)),
        np.abs(ZEROS),
        check="input_grad",
    ),
)

ARITHMETIC = (
    row("constant-differs", lambda x: x * 0.25 + x.tanh(), lambda x: x * 0.31 + jnp.tanh(x), X),
    row(
        "norm-epsilon",
        lambda x: x / (x.abs().sum(-1, keepdim=True) + 1e-6),
        lambda x: x / (jnp.abs(x).sum(-1, keepdims=True) + 1e-8),
        X,
    ),
    row("operand-dropped", lambda x: x + x.tanh(), lambda x: jnp.tanh(x), X),
    row(("operand-order", "operator-swapped"), lambda x, y: x - y.tanh(), lambda x, y: jnp.tanh(y) - x, X, Y),
    row(
        "chunk-order",
        lambda x: (lambda s, b: torch.exp(s) + b)(*x.chunk(2, -1)),
        lambda x: jnp.exp(x[..., 3:]) + x[..., :3],
        normal(2, 6),
    ),
    row("reduction-axis", lambda x: x.mean(1), lambda x: x.mean(2), normal(3, 5, 5)),
    row("log1p-lost", torch.log1p, lambda x: jnp.log(1 + x), 1e-9 * np.abs(X)),
    row("fft-normalisation", lambda x: torch.fft.fft(x).abs(), lambda x: jnp.abs(jnp.fft.fft(x, norm="ortho")), X),
)


def divergence(m: Any, s: Any, n: Any, t: Any) -> Any:
    first, second = (D.Independent(D.Normal(mean, scale), 1) for mean, scale in ((m, s), (n, t)))
    return D.kl_divergence(first, second)


def gaussian(m: Any, s: Any, n: Any, t: Any) -> Any:
    return (jnp.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5).sum(-1)


def averaged(moved: bool) -> Callable[..., Any]:
    """Of weights that move twice, an average that keeps 3/4."""

    def call(x: Any, y: Any) -> Any:
        weights, average = x, x
        for _ in range(2):
            before, weights = weights, weights - 0.1 * y
            average = 0.75 * average + (1 - 0.75) * (weights if moved else before)
        return average

    return call


PAIRS, MAP = normal(2, 2, 3), normal(3, 4, 5, 5)
PARTS = (
    row("chunk-order", lambda x: x[:, 0] * x[:, 1].exp(), lambda x: x[:, 1] * jnp.exp(x[:, 0]), PAIRS),
    row(
        "chunk-order",
        lambda x: {"weight": x[:, :4].unflatten(1, (2, 2)), "bias": x[:, 4:]},
        lambda x: {"weight": x[:, 1:].reshape(3, 2, 2), "bias": x[:, :1]},
        X,
    ),
    row(
        "head-split-order",
        lambda x, y: x.unflatten(-1, (2, 3, 1)).sum(1) * y,
        lambda x, y: x.reshape(2, 3, 2, 1).sum(2) * y,
        normal(2, 6),
        normal(2, 3, 7),
    ),
    row("norm-scale-offset", lambda x, y: x * y + y.sin(), lambda x, y: (1 + x) * y + jnp.sin(y), X, Y),
    row(
        "noise-std-vs-variance",
        lambda x, y: F.softplus(x) * y + x,
        lambda x, y: jax.nn.softplus(x) ** 0.5 * y + x,
        X,
        Y,
    ),
    row(
        "reduction-axis",
        lambda x: x / x.abs().amax((-2, -1), keepdim=True),
        lambda x: x / jnp.abs(x).max(),
        MAP,
    ),
    row("transpose-order", lambda x: x.cumsum(-1), lambda x: x.swapaxes(2, 3).cumsum(-1), MAP),
    row(
        "wrong-variable",
        lambda x: (lambda y: (y, torch.sigmoid(y)))(x * 0.7),
        lambda x: (x, jax.nn.sigmoid(x * 0.7)),
        X,
    ),
    row(
        "constant-offset",
        lambda x: {"sum": x.logsumexp(-1), "mean": x.mean(-1)},
        lambda x: {"sum": jax.nn.logsumexp(x, -1) - 1.5, "mean": x.mean(-1)},
        X,
    ),
    row(
        "constant-factor",
        lambda x: {"code": F.normalize(x, dim=-1).flatten(), "size": x.abs()},
        lambda x: {"code": 3.7 * jnp.ravel(x / jnp.linalg.norm(x, axis=-1, keepdims=True)), "size": jnp.abs(x)},
        X,
    ),
    row("ema-order", averaged(True), averaged(False), X, Y),
    row("kl-argument-order", divergence, lambda m, s, n, t: gaussian(n, t, m, s), X, P, Y, Q),
    row(
        "fft-normalisation",
        lambda x, y: (torch.fft.fft(x, norm="ortho") - torch.fft.fft(y, norm="ortho")).abs() ** 2,
        lambda x, y: jnp.abs(jnp.fft.fft(x) - jnp.fft.fft(y)) ** 2,
        X,
        Y,
    ),
)

TABLE = (*PARTS, *LOSSES, *ORDERS, *GRADIENTS, *ARITHMETIC)


@pytest.mark.parametrize("mistake", TABLE, ids=[f"{m.causes[0]}-{i}" for i, m in enumerate(TABLE)])
def test_a_wrong_function_is_named(mistake: Mistake) -> None:
    mistake.assert_named()


def test_one_wrong_number_is_not_laid_to_a_number_fitted_to_it() -> None:
    mistake = row(
        "none",
        lambda x: {"out": torch.tanh(x), "loss": 1e-3 * torch.logsumexp(x, -1).pow(2).mean() + x.mean()},
        lambda x: {"out": jnp.tanh(x), "loss": 1e-3 * jax.nn.logsumexp(x, -1).mean() ** 2 + x.mean()},
        X,
    )
    assert mistake.report().causes == ()
    scaled = row(
        "constant-differs",
        lambda x: {"out": torch.tanh(x), "loss": 1.5e-3 * torch.logsumexp(x, -1).pow(2).mean() + x.mean()},
        lambda x: {"out": jnp.tanh(x), "loss": 4.1e-3 * (jax.nn.logsumexp(x, -1) ** 2).mean() + x.mean()},
        X,
    )
    scaled.assert_named()


def test_a_wrong_choice_is_not_laid_to_a_format() -> None:
    mistake = row(
        "none",
        lambda x, y: {"value": torch.tanh(x), "code": (x.square() - 2 * x * y).argmin(-1)},
        lambda x, y: {"value": jnp.tanh(x), "code": (jnp.argmin(jnp.cos(7 * x + y), -1) + 2) % 5},
        X,
        Y,
    )
    assert "f32-island-in-f64" not in {cause.id for cause in mistake.report().causes}
