"""A selective state space written as people write it: steps, and values that stand in each other's place."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.engine.explain.mistake import Mistake, Weights, normal

WIDTH, STATE, RANK = 3, 4, 2
X = normal(2, 5, WIDTH)
GIVEN = (X[..., :1], normal(2, 5, STATE), normal(2, 5, STATE, seed=1))


class Selective(nn.Module):
    """State of size 4 for each of 3 features: h' = A h + B x, y = C h, in steps dt that the input sets."""

    def __init__(self, step: str = "exact", held: bool = False) -> None:
        super().__init__()
        self.A_log, self.gate = nn.Parameter(torch.randn(WIDTH, STATE)), nn.Parameter(torch.randn(WIDTH))
        self.D = nn.Parameter(torch.randn(WIDTH))
        self.parts, self.time = nn.Linear(WIDTH, RANK + 2 * STATE, bias=False), nn.Linear(RANK, WIDTH)
        self.rule, self.input = (step == "exact",), (held,)  # no plain settings: what differs is in the code

    def forward(self, x: Any) -> Any:
        rate = -torch.exp(self.A_log)
        dt, into, out = self.parts(x).split([RANK, STATE, STATE], -1)
        dt = F.softplus(self.time(dt))[..., None]
        kept = torch.exp(dt * rate) if self.rule[0] else 1 + dt * rate
        given = ((torch.exp(dt * rate) - 1) / rate if self.input[0] else dt) * into[:, :, None, :]
        state, outputs = torch.zeros_like(kept[:, 0]), []
        for t in range(x.shape[1]):
            state = kept[:, t] * state + given[:, t] * x[:, t, :, None]
            outputs.append((state * out[:, t, None, :]).sum(-1))
        return torch.stack(outputs, 1) * self.gate + self.D * x


def selective(w: Weights, step: str = "exact", held: bool = False, swapped: str = "") -> Any:
    def call(x):
        rate = -jnp.exp(w["A_log"])
        dt, into, out = jnp.split(x @ w["parts.weight"].T, [RANK, RANK + STATE], -1)
        into, out = (out, into) if swapped == "parts" else (into, out)
        gate, skip = (w["D"], w["gate"]) if swapped == "weights" else (w["gate"], w["D"])
        dt = jax.nn.softplus(dt @ w["time.weight"].T + w["time.bias"])[..., None]
        z = dt * rate
        kept = {"exact": jnp.exp, "Euler": lambda z: 1 + z, "bilinear": lambda z: (1 + z / 2) / (1 - z / 2)}[step](z)
        given = (jnp.expm1(z) / rate if held else dt) * into[:, :, None, :]
        state, outputs = jnp.zeros_like(kept[:, 0]), []
        for t in range(x.shape[1]):
            state = kept[:, t] * state + given[:, t] * x[:, t, :, None]
            outputs.append((state * out[:, t, None, :]).sum(-1))
        return jnp.stack(outputs, 1) * gate + skip * x

    return call


class Scan(nn.Module):
    def forward(self, x: Any, into: Any, out: Any) -> Any:
        return (torch.cumsum(x * into, 1) * out).sum(-1)


class Projected(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(WIDTH, STATE), nn.Linear(WIDTH, STATE)

    def forward(self, x: Any) -> Any:
        return torch.cumsum(self.into(x), 1) * self.out(x)


def projected(w: Weights) -> Any:
    into, out = ((w[f"{name}.weight"].T, w[f"{name}.bias"]) for name in ("out", "into"))
    return lambda x: jnp.cumsum(x @ into[0] + into[1], 1) * (x @ out[0] + out[1])


TABLE: dict[str, tuple[Mistake, str]] = {
    "Euler": (
        Mistake("ssm-discretisation", Selective, lambda w: selective(w, "Euler"), (X,)),
        "1 + dt A, Euler's step, in place of exp(dt A)",
    ),
    "bilinear": (
        Mistake("ssm-discretisation", Selective, lambda w: selective(w, "bilinear"), (X,)),
        "(1 + dt A / 2) / (1 - dt A / 2), the bilinear step, in place of exp(dt A)",
    ),
    "exact": (
        Mistake("ssm-discretisation", lambda: Selective("Euler"), selective, (X,)),
        "exp(dt A) in place of 1 + dt A, Euler's step",
    ),
    "held": (
        Mistake("ssm-discretisation", Selective, lambda w: selective(w, held=True), (X,)),
        "(exp(dt A) - 1) / A in place of dt",
    ),
    "not held": (
        Mistake("ssm-discretisation", lambda: Selective(held=True), selective, (X,)),
        "dt in place of (exp(dt A) - 1) / A",
    ),
    "parts": (
        Mistake("chunk-order", Selective, lambda w: selective(w, swapped="parts"), (X,)),
        "parts 2 and 3 exchanged",
    ),
    "weights": (
        Mistake("values-exchanged", Selective, lambda w: selective(w, swapped="weights"), (X,)),
        "gate and D exchanged",
    ),
    "arguments": (
        Mistake("values-exchanged", Scan, lambda w: lambda x, b, c: (jnp.cumsum(x * c, 1) * b).sum(-1), GIVEN),
        "arguments [1] and [2] exchanged",
    ),
    "modules": (Mistake("values-exchanged", Projected, projected, (X,)), "into and out exchanged"),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_is_otherwise_in_a_state_space_is_named(case: str) -> None:
    mistake, detail = TABLE[case]
    report = mistake.report()
    assert [(cause.id, cause.detail) for cause in report.causes[:1]] == [(mistake.cause, detail)], report
