"""Where the reference refuses, the candidate has to, if a compiled function can; plain functions as candidates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen
from hypothesis import strategies as st
from torch import nn

from parity import Pair, check, real
from parity.checks import named
from parity.survey import examine
from tests.engine.checks.ports import Net, Port, inputs, result, tried


def _pair(reference: Callable[[Any], Any], candidate: Callable[[Any], Any], **parts: Any) -> Pair:
    usual = {"inputs": lambda config: st.just((real(4, 5),)), "modes": ("eval",), "checks": ("forward",)}
    return Pair(name="refusing", reference=reference, candidates={"jax": candidate}, **{**usual, **parts})


class Wide(Net):
    """Refuses less than six rows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] < 6:
            raise ValueError("at least six rows")
        return super().forward(x)


class Positive(Net):
    """Refuses negative numbers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool((x < -1.5).any()):
            raise ValueError("too negative")
        return super().forward(x)


def test_what_only_the_reference_refuses_is_a_divergence() -> None:
    report = check(_pair(lambda config: Wide(), lambda config: Port()), examples=3)
    assert [(r.check, r.verdict) for r in report.results] == [("forward", "structure")]
    assert report.results[0].detail == (
        "only the reference refuses, in eval mode: ValueError: at least six rows; "
        "the candidate returns output of shape [4, 3]"
    )


def test_a_librarys_own_exception_is_a_refusal() -> None:
    class ShapeError(Exception):
        """No ValueError, as those of Flax are none."""

    def refusing(x: jax.Array) -> jax.Array:
        raise ShapeError("kernel of another shape")

    report = check(_pair(lambda config: nn.Tanh(), lambda config: refusing), examples=2)
    assert report.results[0].detail == "only the candidate refuses, in eval mode: ShapeError: kernel of another shape"


@pytest.mark.parametrize(("shift", "ok"), [(0.0, True), (0.1, False)])
def test_what_cannot_be_differentiated_is_compared_forward_all_the_same(shift: float, ok: bool) -> None:
    class Highest(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.max_pool1d(torch.relu(x), 3, 1, padding=1)

    def highest(x: jax.Array) -> jax.Array:  # starts at zero, and has no gradient for it
        return jax.lax.reduce_window(x + shift, np.zeros((), x.dtype), jax.lax.max, (1, 3), (1, 1), "SAME")

    trial = tried(Highest(), highest, carry=None)
    found = result("forward", trial)
    assert found.ok is ok
    assert np.isfinite(found.max_relative_error)
    refused = result("input_grad", trial)
    assert not refused.ok
    assert refused.detail.startswith("only the candidate refuses, in eval mode: ")


def test_a_refusal_of_values_is_not_asked_of_a_compiled_function() -> None:
    report = check(_pair(lambda config: Positive(), lambda config: Port()), examples=12)
    assert report.ok, report
    assert report.notes[-1].startswith("the reference refused")


class Normalised(Net):
    """Refuses anything but rows of length one, and so what a check makes of them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.allclose(x.norm(dim=-1), torch.ones(())):
            raise ValueError("not of length one")
        return super().forward(x)


@pytest.mark.parametrize(("function", "ok"), [(jnp.tanh, True), (jnp.sin, False)])
def test_a_call_that_only_a_check_makes_is_no_refusal_of_the_example(function: Any, ok: bool) -> None:
    x = inputs()
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    found = examine(tried(Normalised(), Port(function), x), named(("forward", "loop")), ())
    assert found.results[0].ok is ok
    assert [note.text for note in found.notes] == [
        "loop: not finished: the reference refuses what it makes of the example: ValueError: not of length one"
    ]


def test_checks_of_a_configuration_wait_for_an_example_that_is_not_refused() -> None:
    class Rarely(Net):
        refusals = 4

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.refusals -= 1
            if self.refusals == 3:
                raise ValueError("not the first")
            return super().forward(x)

    report = check(_pair(lambda config: Rarely(), lambda config: Port(), checks=("forward", "loop")), examples=4)
    assert {r.check for r in report.results if r.leaves} == {"forward", "loop"}


def test_a_size_that_only_the_reference_refuses() -> None:
    class Even(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[1] % 2:
                raise ValueError("odd width")
            return x.tanh()

    found = result("sizes", tried(Even(), jax.numpy.tanh, np.ones((3, 4)), carry=None))
    assert not found.ok
    assert found.detail == "only the reference refuses one less along axis 1, in eval mode: ValueError: odd width"


def test_values_that_do_not_fit_another_size_are_not_asked_of_a_compiled_function() -> None:
    class Loss(nn.Module):
        def forward(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return nn.functional.cross_entropy(scores, targets)

    def port(scores: jax.Array, targets: jax.Array) -> jax.Array:
        return -jax.numpy.mean(jax.numpy.take_along_axis(jax.nn.log_softmax(scores), targets[:, None], 1))

    found = result("sizes", tried(Loss(), port, np.ones((3, 4)), np.array([0, 3, 2]), carry=None))
    assert found.ok, found
    assert found.leaves == 2, "a batch of one and an empty one; with fewer classes the targets do not fit"


def test_a_model_that_refuses_a_configuration_when_it_is_first_called() -> None:
    class Late(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            raise ValueError("width must be even")

    def refuse(config: Any) -> Any:
        raise ValueError("width must be even")

    report = check(_pair(refuse, lambda config: Late()), examples=3)
    assert [r.detail for r in report.results] == ["no example was run"], "refused by both, and so compared by nothing"


def _linear(config: Any) -> Any:
    return lambda params, x: x @ params["weight"].T + params["bias"], {"weight": np.zeros((2, 5)), "bias": np.zeros(2)}


@pytest.mark.parametrize(
    ("reference", "candidate"),
    [
        (lambda config: nn.GELU(), lambda config: lambda x: jax.nn.gelu(x, approximate=False)),
        (lambda config: nn.Linear(5, 2), _linear),
    ],
    ids=["without parameters", "with parameters"],
)
def test_a_plain_function_is_a_candidate(reference: Any, candidate: Any) -> None:
    checks = ("forward", "input_grad", "param_grad", "loop", "special", "sizes", "transforms", "second_order")
    report = check(_pair(reference, candidate, checks=checks), examples=3)
    assert report.ok, report
    assert not check(_pair(reference, lambda config: lambda x: 0 * x), examples=3).ok


def test_weights_that_a_function_has_no_place_for_are_listed() -> None:
    report = check(_pair(lambda config: nn.Linear(5, 2), lambda config: lambda x: x), examples=2)
    assert "weight float32[2, 5]: no leaf of the target takes it" in report.results[0].detail
