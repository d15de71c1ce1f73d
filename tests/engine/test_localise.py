"""Failures are located in models whose weights torch computes from other tensors, too."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch.nn.utils.parametrizations import weight_norm

import parity
from tests.engine.explain.mistake import spread


class Reference(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = weight_norm(torch.nn.Linear(3, 5))
        self.second = weight_norm(torch.nn.Linear(5, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


class Halved(nnx.Linear):
    """Right outputs, and half the gradient by the kernel."""

    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.kernel[...]
        return x @ (0.5 * kernel + 0.5 * jax.lax.stop_gradient(kernel)) + self.bias[...]


class Candidate(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.first = Halved(3, 5, rngs=rngs)
        self.second = nnx.Linear(5, 2, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.second(nnx.tanh(self.first(x)))


def test_a_wrong_gradient_is_located_behind_weight_normalisation() -> None:
    x = np.random.default_rng(0).normal(size=(7, 3))
    report = parity.compare(Reference(), Candidate(rngs=nnx.Rngs(0)), x, checks=("forward", "param_grad"))
    assert [(result.check, result.ok) for result in report.results] == [("forward", True), ("param_grad", False)]
    assert report.divergence is not None
    assert (report.divergence.reference, report.divergence.candidate) == ("first", "first")


class Normed(torch.nn.Module):
    """A layer in front of batch norm, whose bias only the running mean shows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = torch.nn.Linear(5, 7), torch.nn.BatchNorm1d(7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.layer(x))


class Unbiased(nnx.BatchNorm):
    """Batch norm that keeps torch's unbiased variance."""

    def __call__(self, x: jax.Array) -> jax.Array:  # pyright: ignore[reportIncompatibleMethodOverride]  # no mask here
        before, y = self.var[...], super().__call__(x)
        if not self.use_running_average:
            self.var[...] = self.momentum * before + (1 - self.momentum) * x.var(0, ddof=1)
        return y


class Biasless(nnx.Linear):
    def __call__(self, inputs: jax.Array) -> jax.Array:
        return super().__call__(inputs) - self.bias[...]


class NormedPort(nnx.Module):
    def __init__(self, layer: type[nnx.Linear], norm: type[nnx.BatchNorm], momentum: float) -> None:
        rngs = nnx.Rngs(0)
        self.layer, self.norm = layer(5, 7, rngs=rngs), norm(7, momentum=momentum, epsilon=1e-5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.norm(self.layer(x))


@pytest.mark.parametrize(
    ("layer", "norm", "momentum", "where", "cause"),
    [
        (Biasless, Unbiased, 0.9, "layer", "bias-dropped"),
        (Biasless, nnx.BatchNorm, 0.9, "norm", "bn-running-var-biased"),
        (Biasless, nnx.BatchNorm, 0.8, "norm", "bn-momentum"),
    ],
)
def test_wrong_statistics_are_laid_to_the_module_that_makes_them_wrong(
    layer: type[nnx.Linear], norm: type[nnx.BatchNorm], momentum: float, where: str, cause: str
) -> None:
    x = np.random.default_rng(0).normal(size=(6, 5))
    report = parity.compare(Normed(), NormedPort(layer, norm, momentum), x, train=True)
    assert [result.check for result in report.results if not result.ok] == ["buffers"]
    assert report.divergence is not None
    assert (report.divergence.reference, report.causes[0].id) == (where, cause)


class Slope(torch.nn.Module):
    """The gradient of a layer by its input."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = torch.nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x = x if x.requires_grad else x.requires_grad_()
            return torch.autograd.grad(torch.tanh(self.critic(x)).sum(), x, create_graph=True)[0]


class SlopePort(nnx.Module):
    def __init__(self) -> None:
        self.critic = Biasless(5, 3, rngs=nnx.Rngs(0))

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.grad(lambda x: jnp.tanh(self.critic(x)).sum())(x)


def test_a_module_inside_a_gradient_is_located() -> None:
    report = parity.compare(Slope(), SlopePort(), np.random.default_rng(0).normal(size=(4, 5)))
    assert report.divergence is not None
    assert (report.divergence.candidate, report.causes[0].id) == ("critic", "bias-dropped")


class StoppedSlopePort(SlopePort):
    def __call__(self, x: jax.Array) -> jax.Array:
        return x + jax.lax.stop_gradient(super().__call__(x) - x)


def test_a_right_module_inside_a_gradient_is_not_blamed_for_its_derivatives() -> None:
    candidate = StoppedSlopePort()
    candidate.critic = nnx.Linear(5, 3, rngs=nnx.Rngs(0))
    report = parity.compare(Slope(), candidate, np.random.default_rng(0).normal(size=(4, 5)))
    assert report.divergence is not None
    assert (report.divergence.check, report.divergence.candidate) == ("input_grad", "")


class At(torch.nn.Module):
    """A layer that is told where it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.table = torch.nn.Linear(5, 3), torch.nn.Parameter(torch.randn(7, 5))

    def forward(self, x: torch.Tensor, position: int) -> torch.Tensor:
        return torch.tanh(self.query(x + self.table[position]))


class Steps(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.at = At()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum((self.at(x[:, t], t) for t in range(x.shape[1])), torch.zeros(()))


class AtPort(nnx.Module):
    def __init__(self, first: int = 0) -> None:
        self.query = nnx.Linear(5, 3, rngs=nnx.Rngs(0))
        self.table, self.first = nnx.Param(jnp.zeros((7, 5))), first

    def __call__(self, x: jax.Array, *, position: int) -> jax.Array:
        return jnp.tanh(self.query(x + self.table[...][position + self.first]))


class StepsPort(nnx.Module):
    def __init__(self, first: int = 0, inside: int = 0) -> None:
        self.at, self.first = AtPort(inside), first

    def __call__(self, x: jax.Array) -> jax.Array:
        return sum((self.at(x[:, t], position=t + self.first) for t in range(x.shape[1])), jnp.zeros(()))


@pytest.mark.parametrize(("first", "inside", "blamed"), [(1, 0, ""), (0, 1, "at"), (1, -1, None)])
def test_who_tells_a_wrong_position_is_located_and_not_who_is_told(first: int, inside: int, blamed: str | None) -> None:
    x = np.random.default_rng(0).normal(size=(2, 4, 5))
    report = parity.compare(Steps(), StepsPort(first, inside), x, checks=("forward",))
    assert (report.divergence and report.divergence.reference) == blamed, report
    if not blamed and report.divergence is not None:
        (cause,) = report.causes
        assert (cause.id, cause.where) == ("argument-differs", "Steps")
        assert cause.detail == "at is given 1 in place of 0 as its argument [1]"


class Attending(torch.nn.Module):
    """Fused attention, which hands the weights of its last layer to a function."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, T, 12)
        return self.attention(x, x, x, need_weights=False)[0]


class Attention(nnx.Module):
    """Its last layer in a place of its own."""

    def __init__(self, last: type[nnx.LinearGeneral]) -> None:
        given: dict[str, Any] = {"rngs": nnx.Rngs(0), "param_dtype": jnp.float64}
        self.attention = nnx.MultiHeadAttention(3, 12, decode=False, dtype=jnp.float64, **given)
        self.attention.out = last((3, 4), 12, axis=(-2, -1), dtype=jnp.float64, **given)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.attention(x)


class BiasTwice(nnx.LinearGeneral):
    def __call__(self, inputs: jax.Array, out_sharding: Any = None) -> jax.Array:
        assert self.bias is not None
        return super().__call__(inputs, out_sharding) + self.bias[...]


class Stopped(nnx.LinearGeneral):
    def __call__(self, inputs: jax.Array, out_sharding: Any = None) -> jax.Array:
        return super().__call__(jax.lax.stop_gradient(inputs), out_sharding)


@pytest.mark.parametrize(
    ("last", "check", "cause"),
    [(BiasTwice, "forward", "bias-twice"), (Stopped, "input_grad", "stop-gradient-extra")],
)
def test_the_last_layer_of_fused_attention_has_a_place_of_its_own(
    last: type[nnx.LinearGeneral], check: str, cause: str
) -> None:
    x = np.random.default_rng(0).normal(size=(2, 5, 12))
    with jax.enable_x64(True):
        right, wrong = Attention(nnx.LinearGeneral), Attention(last)
    assert parity.compare(spread(Attending()), right, x).ok
    report = parity.compare(spread(Attending()), wrong, x, checks=(check,))
    assert report.divergence is not None
    assert (report.divergence.reference, report.divergence.candidate) == ("attention.out_proj", "attention/out")
    assert report.causes[0].id == cause, report
