"""Gradients prove a mapping that names only suggest, and name two leaves that it exchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import flax.linen as ln
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import parity.proof
import weight_bridge
from weight_bridge import proving
from weight_bridge._cli import main

WIDTH = 5


class Source(torch.nn.Module):
    """Two layers of one shape, a norm with running statistics, and a layer that no output depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.up = torch.nn.Linear(WIDTH, WIDTH)
        self.gate = torch.nn.Linear(WIDTH, WIDTH)
        self.norm = torch.nn.BatchNorm1d(WIDTH)
        self.unused = torch.nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(torch.tanh(self.up(x)) * self.gate(x))


class Target(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.up = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.gate = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.norm = nnx.BatchNorm(WIDTH, use_running_average=True, rngs=rngs)
        self.unused = nnx.Linear(WIDTH, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.norm(jnp.tanh(self.up(x)) * self.gate(x))


class Linen(ln.Module):
    @ln.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        gated = jnp.tanh(ln.Dense(WIDTH, name="up")(x)) * ln.Dense(WIDTH, name="gate")(x)
        ln.Dense(3, name="unused")(x)
        return ln.BatchNorm(use_running_average=True, name="norm")(gated)


def target() -> Target:
    return Target(rngs=nnx.Rngs(0))


def linen() -> tuple[ln.Module, jax.ShapeDtypeStruct]:
    return Linen(), jax.ShapeDtypeStruct((7, WIDTH), jnp.float32)


def inputs() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(7, WIDTH))


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "prover", lambda: parity.proof.prove)


def exchanged() -> weight_bridge.Mapping:
    rules = [
        weight_bridge.Rule((f"{a}.weight",), (f"{b}/kernel",), found.steps[0].transform)
        for a, b in (("up", "gate"), ("gate", "up"))
        for found in [weight_bridge.plan({"a.weight": np.zeros((2, 3))}, {"a": {"kernel": np.zeros((3, 2))}})]
    ]
    return weight_bridge.Mapping(tuple(rules))


def test_assumed_leaves_become_proved() -> None:
    decided = weight_bridge.plan(Source().state_dict(), nnx.eval_shape(target), drop=["**/num_batches_tracked"])
    assert "assumed" in decided.counts()
    proved = weight_bridge.prove(decided, Source, target, inputs=inputs())
    verdicts = {path: step.verdict for step in proved.steps for path in step.targets}
    reached = {path for path in verdicts if not path.startswith("unused") and path not in ("norm/mean", "norm/var")}
    assert {verdicts[path] for path in reached} == {"proved"}
    assert all(step.why.startswith("proved by gradients, ") for step in proved.steps if set(step.targets) <= reached)
    assert proved.notes[-1] == (
        "norm/mean, norm/var, unused/bias, unused/kernel: no gradient reaches it, so gradients prove nothing"
    )


def test_two_exchanged_leaves_are_named() -> None:
    decided = weight_bridge.plan(Source().state_dict(), nnx.eval_shape(target), mapping=exchanged())
    with pytest.raises(weight_bridge.VerificationError) as caught:
        weight_bridge.prove(decided, Source, target, inputs=inputs)
    assert caught.value.problems == tuple(
        f"{path}: planned from {planned}.weight, but its gradient is that of {found}.weight; a [[rule]] of "
        "--mapping can say so"
        for path, planned, found in (("gate/kernel", "up", "gate"), ("up/kernel", "gate", "up"))
    )


def test_another_function_is_no_exchange() -> None:
    class Other(Source):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + self.up(x)

    decided = weight_bridge.plan(Source().state_dict(), nnx.eval_shape(target))
    with pytest.raises(weight_bridge.VerificationError, match="no exchange of leaves of one shape explains it"):
        weight_bridge.prove(decided, Other(), target, inputs=inputs())


def test_a_layout_that_applies_to_nothing_proves_nothing() -> None:
    decided = weight_bridge.plan(Source().state_dict(), nnx.eval_shape(target))
    with pytest.raises(weight_bridge.UsageError) as refused:
        weight_bridge.prove(decided, Source, target, inputs=inputs, layout="NCHW->NHWC")
    assert str(refused.value) == (
        "the models cannot be run side by side: layout 'NCHW->NHWC': it has 4 axes, and no input or output has; there "
        "are input[0] of shape [7, 5], output of shape [7, 5]"
    )


def test_the_command_proves_a_linen_target_on_its_own_example(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["verify", "--source", f"{__name__}:Source", "--target", f"{__name__}:linen", "--prove", "--json"]
    assert main(words) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["ok"]
    assert set(told["verdicts"]) <= {"proved", "assumed"}
    assert main([*words, "--layout", "sideways"]) == 2
    assert capsys.readouterr().err.startswith(
        "usage error: the models cannot be run side by side: layout 'sideways': expected the reference's axes, "
    )
    assert main(["verify", "--target", f"{__name__}:linen", "--prove"]) == 2
    assert capsys.readouterr().err == ("usage error: --prove runs both models; say --source package.module:callable\n")


def test_the_entry_point_is_declared() -> None:
    import tomllib

    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert declared["project"]["entry-points"][proving.GROUP] == {"parity": "parity.proof:prove"}
