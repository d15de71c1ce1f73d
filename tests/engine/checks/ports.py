"""Small correct ports, each with room for one mistake, and a way to put one check to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch import nn

from parity import Override, Pair, Result
from parity.backends import Call
from parity.checks import named
from parity.formats import Precision
from parity.layout import Layouts
from parity.pair import Mode
from parity.record import Example
from parity.session import Session
from parity.survey import Examination, examine
from parity.trial import Trial

BATCH, WIDTH, HIDDEN, OUT = 11, 5, 7, 3
Same = Callable[[Any], Any]


def same(x: Any) -> Any:
    """No mistake."""
    return x


class Net(nn.Module):
    """Linear, a function, linear."""

    def __init__(self, function: Callable[[Any], Any] = torch.tanh) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, HIDDEN)
        self.second = nn.Linear(HIDDEN, OUT)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.function(self.first(x)))


class Port(nnx.Module):
    """`Net`'s twin."""

    def __init__(self, function: Callable[[Any], Any] = jnp.tanh, **settings: Any) -> None:
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(WIDTH, HIDDEN, rngs=rngs, **settings)
        self.second = nnx.Linear(HIDDEN, OUT, rngs=rngs, **settings)
        self.function = function

    def __call__(self, x: Any) -> Any:
        return self.second(self.function(self.first(x)))


class Normed(nn.Module):
    """Batch normalisation between two layers."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, HIDDEN)
        self.norm = nn.BatchNorm1d(HIDDEN, **settings)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.norm(self.first(x)))


class BatchNorm(nnx.Module):
    """Torch's batch normalisation: unbiased running variance, and `momentum` the weight of the new value."""

    def __init__(self, features: int, momentum: float | None = 0.1, *, ddof: int = 1) -> None:
        self.weight, self.bias = nnx.Param(jnp.ones(features)), nnx.Param(jnp.zeros(features))
        self.running_mean, self.running_var = nnx.BatchStat(jnp.zeros(features)), nnx.BatchStat(jnp.ones(features))
        self.num_batches_tracked = nnx.BatchStat(jnp.zeros((), jnp.int32))
        self.momentum, self.ddof, self.use_running_average = momentum, ddof, False

    def __call__(self, x: Any) -> Any:
        mean, var = self.running_mean[...], self.running_var[...]
        if not self.use_running_average:
            batch = x.mean(0), x.var(0, ddof=self.ddof)
            counted = self.num_batches_tracked[...] + 1
            new = 1 / counted if self.momentum is None else self.momentum
            self.num_batches_tracked[...] = counted
            self.running_mean[...] = (1 - new) * mean + new * batch[0]
            self.running_var[...] = (1 - new) * var + new * batch[1]
            mean, var = x.mean(0), x.var(0)
        return (x - mean) / jnp.sqrt(var + 1e-5) * self.weight[...] + self.bias[...]


class NormedPort(nnx.Module):
    """`Normed`'s twin."""

    def __init__(self, norm: BatchNorm | None = None, before: Same = same) -> None:
        self.first = nnx.Linear(WIDTH, HIDDEN, rngs=nnx.Rngs(0))
        self.norm = norm or BatchNorm(HIDDEN)
        self.before = before

    def __call__(self, x: Any) -> Any:
        return jnp.tanh(self.norm(self.before(self.first(x))))


class Dropping(nn.Module):
    """Two dropouts of different rates."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, HIDDEN)
        self.low, self.high = nn.Dropout(0.2), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.high(torch.tanh(self.low(self.first(x))))


class DroppingPort(nnx.Module):
    """`Dropping`'s twin."""

    def __init__(self, low: float = 0.2, high: float = 0.5, shape: tuple[int, ...] = ()) -> None:
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(WIDTH, HIDDEN, rngs=rngs)
        self.low = nnx.Dropout(low, broadcast_dims=shape, rngs=rngs)
        self.high = nnx.Dropout(high, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.high(jnp.tanh(self.low(self.first(x))))


def inputs(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape or (BATCH, WIDTH))


def tried(
    reference: nn.Module,
    candidate: Any,
    *given: np.ndarray,
    modes: tuple[Mode, ...] = ("eval",),
    precision: Precision = "float64",
    profile: str = "normal",
    carry: Any = "infer",
    pair: Pair | None = None,
) -> Trial:
    """One trial of two models with weights moved off their initial values."""
    arrays = given or (inputs(),)
    session = Session.of_models(
        *(reference, candidate, arrays),
        carry=carry,
        layouts=Layouts.of(None),
        modes=modes,
        call=Call(),
        name="test",
    )
    if pair is not None:
        session = Session(**{**vars(session), "pair": pair, "label": "nnx", "found": {}})
    return Trial(session, Example(arrays, 3, profile), precision)


def examined(check: str, trial: Trial, overrides: tuple[Override, ...] = ()) -> Examination:
    """What one check finds."""
    return examine(trial, named((check,)), overrides)


def result(check: str, trial: Trial, overrides: tuple[Override, ...] = ()) -> Result:
    """The worst of what one check finds."""
    (only,) = examined(check, trial, overrides).results
    return only


def others_pass(check: str, trial: Trial, *among: str) -> bool:
    """Whether the named checks let the same trial pass."""
    return all(result(name, trial).ok for name in among if name != check)


def stopped(x: Any) -> Any:
    """The same value without its gradient."""
    return jax.lax.stop_gradient(x)
