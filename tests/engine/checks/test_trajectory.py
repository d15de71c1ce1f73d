"""`trajectory` sees what every gradient leaves out: optimizers, decay, frozen parameters, merged biases."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import torch
from flax import nnx
from hypothesis import strategies as st
from torch import nn

from parity import Optimizers, Pair, real
from parity.optimizers import ADAM, ADAMW, MATCHED, MOMENTUM, SGD
from tests.engine.checks.ports import (
    Dropping,
    DroppingPort,
    Net,
    Normed,
    NormedPort,
    Port,
    examined,
    result,
    tried,
)
from weight_bridge import Mapping, Rule
from weight_bridge.joint import Sum
from weight_bridge.transforms import Permute


def _pair(*optimizers: Optimizers) -> Pair:
    return Pair(
        name="net",
        reference=lambda config: Net(),
        candidates={"nnx": lambda config: Port()},
        inputs=lambda config: st.just((real(11, 5),)),
        optimizers=optimizers,
    )


def _trained(*optimizers: Optimizers, reference: Any = None, candidate: Any = None, modes: Any = ("eval",)) -> Any:
    return tried(reference or Net(), candidate or Port(), modes=modes, pair=_pair(*optimizers))


@pytest.mark.parametrize("optimizers", MATCHED, ids=lambda o: o.name)
def test_matched_settings_agree(optimizers: Optimizers) -> None:
    found = result("trajectory", _trained(optimizers))
    assert found.ok, found
    assert found.leaves >= 20 * 4 * 2, "four leaves, twenty steps, alone and together"


@pytest.mark.parametrize(
    ("reference", "candidate"), [(Normed, NormedPort), (Dropping, DroppingPort)], ids=["buffers", "dropout"]
)
def test_training_mode_agrees(reference: Any, candidate: Any) -> None:
    trial = _trained(MOMENTUM, ADAMW, reference=reference(), candidate=candidate(), modes=("eval", "train"))
    found = result("trajectory", trial)
    assert found.ok, found


def _optax(name: str, **settings: Any) -> Any:
    def build(rate: float) -> Any:
        import optax

        return getattr(optax, name)(rate, **settings)

    return build


@pytest.mark.parametrize(
    ("optimizers", "step"),
    [
        (dataclasses.replace(ADAMW, candidate=_optax("adamw")), 1),
        (dataclasses.replace(MOMENTUM, candidate=_optax("sgd", momentum=0.9, nesterov=True)), 1),
        (dataclasses.replace(MOMENTUM, candidate=_optax("sgd")), 2),
        (dataclasses.replace(ADAM, candidate=_optax("adam", eps=1e-6)), 1),
        (dataclasses.replace(ADAM, candidate=_optax("adam", b2=0.99)), 1),
    ],
    ids=["default decay", "nesterov", "no momentum", "epsilon", "second moment"],
)
def test_other_settings_are_seen_at_their_first_step(optimizers: Optimizers, step: int) -> None:
    found = result("trajectory", _trained(optimizers))
    assert not found.ok
    assert found.worst.split("[")[0].endswith((f"alone, step {step})", f", step {step})"))


def test_a_schedule_that_is_one_step_ahead() -> None:
    def halved(optimizer: Any) -> Any:
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    def decayed(shift: int) -> Any:
        def build(rate: float) -> Any:
            import optax

            return optax.sgd(lambda count: rate * 0.5 ** (count + shift).astype(jnp.float64))

        return build

    right = dataclasses.replace(SGD, schedule=halved, candidate=decayed(0))
    found = result("trajectory", _trained(right))
    assert found.ok, found
    assert not result("trajectory", _trained(dataclasses.replace(right, candidate=decayed(1)))).ok


class TwoBiases(nn.Module):
    """A cell with two biases that only ever add."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(5, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x, torch.ones(x.shape[0], 7, dtype=x.dtype))


class MergedBias(nnx.Module):
    """The same with one bias, as Flax has it."""

    def __init__(self) -> None:
        self.cell = nnx.SimpleCell(5, 7, rngs=nnx.Rngs(0))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.cell(jnp.ones((x.shape[0], 7), x.dtype), x)[1]


def test_merged_biases_move_half_as_fast() -> None:
    swap = Permute((1, 0))
    rules = Mapping(
        rules=(
            Rule(("cell.weight_ih",), ("cell/dense_i/kernel",), swap),
            Rule(("cell.weight_hh",), ("cell/dense_h/kernel",), swap),
            Rule(("cell.bias_ih", "cell.bias_hh"), ("cell/dense_i/bias",), Sum()),
        )
    )
    trial = tried(TwoBiases(), MergedBias(), carry=rules, pair=_pair(SGD))
    assert all(result(check, trial).ok for check in ("forward", "input_grad", "param_grad"))
    found = result("trajectory", trial)
    assert not found.ok
    assert found.worst.startswith("cell/dense_i/bias (SGD, step 1)")


def test_frozen_parameters_stay() -> None:
    reference = Net()
    reference.first.weight.requires_grad_(False)
    trial = _trained(ADAMW, reference=reference)
    found = result("trajectory", trial)
    assert found.ok, found
    assert "first/kernel" not in " ".join(str(path) for path in (found.worst,))


def test_a_gradient_that_is_twice_as_large_hides_from_adam() -> None:
    class Doubled(Port):
        def __call__(self, x: jax.Array) -> jax.Array:
            y = super().__call__(x)
            return 2 * y - jax.lax.stop_gradient(y)

    assert result("forward", _trained(SGD, candidate=Doubled())).ok
    assert not result("trajectory", _trained(SGD, candidate=Doubled())).ok


def test_chaos_is_not_blamed_on_the_candidate() -> None:
    def chaotic(x: Any) -> Any:
        for _ in range(60):
            x = 3.99 * x * (1 - x) if isinstance(x, jax.Array) else x.mul(3.99).mul(1 - x)
        return x

    def squashed(x: Any) -> Any:
        return chaotic(0.5 + 0.3 * (torch.sin(x) if isinstance(x, torch.Tensor) else jnp.sin(x)))

    trial = _trained(SGD, reference=Net(squashed), candidate=Port(squashed))
    assert result("forward", trial).max_relative_error > 1e-11, "the two round differently, and it shows"
    found = result("trajectory", trial)
    assert found.ok, found


class Centred(Net):
    """`Net`, less the mean of the batch: the last bias has no effect, and a gradient of roundings."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        return y - y.mean(0)


class CentredPort(Port):
    """Its twin."""

    def __call__(self, x: jax.Array) -> jax.Array:
        y = super().__call__(x)
        return y - y.mean(0)


@pytest.mark.parametrize(("factor", "verdict", "ok"), [(1.0, "ill-conditioned", True), (1.001, "bug", False)])
def test_a_gradient_of_roundings_that_adam_magnifies_accuses_nobody_and_hides_no_mistake(
    factor: float, verdict: str, ok: bool
) -> None:
    adam = Optimizers("Adam", lambda p, rate: torch.optim.Adam(p, rate, eps=1e-16), _optax("adam", eps=1e-16))
    port = CentredPort(lambda x: jnp.tanh(factor * x))
    found = result("trajectory", _trained(adam, reference=Centred(), candidate=port))
    assert (found.verdict, found.ok) == (verdict, ok), found


class Narrow(Port):
    """`Port` in float32, of inputs that are a little too large."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__((self.factor * x).astype(jnp.float32)).astype(x.dtype)


@pytest.mark.parametrize(("factor", "verdict", "ok"), [(1.0, "precision mode", True), (1.001, "bug", False)])
def test_training_in_a_hidden_float32_is_a_matter_of_precision_and_hides_no_mistake(
    factor: float, verdict: str, ok: bool
) -> None:
    found = result("trajectory", _trained(ADAM, candidate=Narrow(factor)))
    assert (found.verdict, found.ok) == (verdict, ok), found
    assert found.max_relative_error > 1e-9


def test_float32_is_left_to_the_other_checks() -> None:
    trial = tried(Net(), Port(), precision="float32", pair=_pair(SGD))
    found = examined("trajectory", trial)
    assert [note.text for note in found.notes] == ["trajectory: only judged in float64, not in float32"]


def test_a_reference_that_refuses_its_own_training_is_remarked() -> None:
    class Bounded(Net):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls > 9:
                raise ValueError("scores must lie in [0, 1]")
            return super().forward(x)

    found = examined("trajectory", tried(Bounded(), Port(), modes=("train",)))
    assert all(result.ok for result in found.results)
    assert {note.text.split(": ", 1)[1] for note in found.notes} == {
        f"the reference refuses what {name} makes of it: scores must lie in [0, 1]"
        for name in ("SGD with momentum", "AdamW")
    }
