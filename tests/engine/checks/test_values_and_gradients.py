"""`forward`, `input_grad`, `param_grad` and `buffers`: each sees a mistake that the ones before do not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

from parity.judgement import Note
from tests.engine.checks.ports import (
    BatchNorm,
    Net,
    Normed,
    NormedPort,
    Port,
    examined,
    inputs,
    result,
    stopped,
    tried,
)

RECORDED = ("forward", "input_grad", "param_grad", "buffers")


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("check", RECORDED)
def test_right_port_passes(check: str, mode: str) -> None:
    found = result(check, tried(Normed(), NormedPort(), modes=(mode,)))
    assert found.ok, found
    assert found.leaves > 0
    assert found.max_relative_error < 1e-13
    assert found.verdict == "parity"


def test_forward_sees_the_other_form_of_an_activation() -> None:
    trial = tried(Net(torch.nn.functional.gelu), Port(nnx.gelu))
    found = result("forward", trial)
    assert (found.ok, found.verdict) == (False, "bug")
    assert 1e-6 < found.max_relative_error < 1e-2


def test_input_grad_sees_a_derivative_of_its_own() -> None:
    @jax.custom_jvp
    def tanh(x: jax.Array) -> jax.Array:
        return jnp.tanh(x)

    tanh.defjvp(lambda primals, tangents: (jnp.tanh(primals[0]), tangents[0]))
    trial = tried(Net(), Port(tanh))
    assert result("forward", trial).ok
    assert not result("input_grad", trial).ok


def test_param_grad_sees_a_stopped_branch() -> None:
    class Stopped(Port):
        def __call__(self, x: jax.Array) -> jax.Array:
            hidden = x @ stopped(self.first.kernel[...]) + self.first.bias[...]
            return self.second(jnp.tanh(hidden))

    trial = tried(Net(), Stopped())
    assert result("forward", trial).ok
    assert result("input_grad", trial).ok
    found = result("param_grad", trial)
    assert not found.ok
    assert found.worst.startswith("first.weight")


@pytest.mark.parametrize(
    ("norm", "settings"),
    [
        (lambda: BatchNorm(7, momentum=0.9), {}),
        (lambda: BatchNorm(7, ddof=0), {}),
        (lambda: BatchNorm(7, momentum=0.1), {"momentum": None}),
    ],
    ids=["momentum of the old value", "biased variance", "exponential for cumulative"],
)
def test_buffers_sees_statistics_that_are_kept_otherwise(norm, settings) -> None:
    trial = tried(Normed(**settings), NormedPort(norm()), modes=("train",))
    assert all(result(check, trial).ok for check in RECORDED[:3])
    assert not result("buffers", trial).ok


def test_buffers_follows_a_cumulative_average_over_several_calls() -> None:
    trial = tried(Normed(momentum=None), NormedPort(BatchNorm(7, momentum=None)), modes=("train",))
    found = result("buffers", trial)
    assert found.ok, found
    assert found.leaves == 9, "mean, variance and count after each of three calls"


def test_buffers_sees_an_update_in_evaluation_mode() -> None:
    class Moving(NormedPort):
        def __call__(self, x: jax.Array) -> jax.Array:
            self.norm.running_mean[...] = self.norm.running_mean[...] * 0.9
            return jnp.tanh(self.norm(self.first(x))) + 0.0

    trial = tried(Normed(), Moving(), modes=("eval",))
    assert not result("buffers", trial).ok


def test_a_model_without_buffers_has_nothing_to_compare() -> None:
    found = result("buffers", tried(Net(), Port()))
    assert (found.ok, found.leaves, found.detail) == (True, 0, "nothing to compare")


def test_gradients_of_weights_that_are_not_carried_are_not_compared() -> None:
    found = examined("param_grad", tried(nn.Tanh(), lambda x: jnp.tanh(x), carry=None))
    assert not found.results
    assert [note.text for note in found.notes] == ["param_grad needs carried weights, and carry is None: not run"]


def test_constant_outputs_and_dead_parameters_are_vacuous() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(5, 7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.softmax(self.linear(x), -1).sum(-1)

    class Twin(nnx.Module):
        def __init__(self) -> None:
            self.linear = nnx.Linear(5, 7, rngs=nnx.Rngs(0))

        def __call__(self, x: jax.Array) -> jax.Array:
            return nnx.softmax(self.linear(x)).sum(-1)

    trial = tried(Constant(), Twin())
    (note,) = examined("forward", trial).notes
    assert note == Note("vacuous: forward is constant in every example, eval mode", always=True, at="output")


def test_a_candidate_that_raises_is_a_finding_and_no_crash() -> None:
    def refuses(x: jax.Array) -> jax.Array:
        raise ValueError("width 7 is not even")

    found = result("forward", tried(Net(), Port(refuses)))
    assert not found.ok
    assert found.detail == "only the candidate refuses, in eval mode: ValueError: width 7 is not even"


def test_nan_never_equals_a_number() -> None:
    trial = tried(Net(), Port(lambda x: jnp.tanh(x) + jnp.where(x > 1e9, x, 0) * jnp.nan))
    found = result("forward", trial)
    assert (found.ok, found.verdict) == (False, "bug")
    assert found.detail.startswith("NaN positions differ at 33 of 33 elements")


def test_leaf_that_one_side_lacks_is_structure() -> None:
    found = result("forward", tried(nn.Identity(), lambda x: {"mean": x}, inputs(2, 3), carry=None))
    assert (found.ok, found.verdict, found.detail) == (False, "structure", "the candidate has no output")
    assert np.isinf(found.max_relative_error)


def test_a_bound_that_the_reference_itself_makes_loose_is_remarked() -> None:
    class Cancelling(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + 1e5) - 1e5

    for precision, remarked in (("float64", False), ("float32", True)):
        trial = tried(Cancelling(), lambda x: (x + 1e5) - 1e5, carry=None, precision=precision)
        found = examined("forward", trial)
        assert found.ok
        remark = (
            "loose: in float32 the reference itself loses over half of the digits in forward, eval mode; "
            "only float64 tells a mistake from rounding there"
        )
        assert [note.text for note in found.notes] == [remark] * remarked
