"""`second_order` sees rules that are right to first order only."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
import torch
from flax import nnx
from torch import nn

from tests.engine.checks.ports import Dropping, DroppingPort, Net, Normed, NormedPort, Port, examined, result, tried

FIRST = ("forward", "input_grad", "param_grad")


@pytest.mark.parametrize(
    "trial",
    [
        lambda: tried(Net(), Port()),
        lambda: tried(Net(torch.nn.functional.gelu), Port(lambda x: jax.nn.gelu(x, approximate=False))),
        lambda: tried(Normed(), NormedPort(), modes=("train",)),
        lambda: tried(Dropping(), DroppingPort(), modes=("train",)),
        lambda: tried(Net(), Port(), precision="float32"),
    ],
    ids=["tanh", "gelu", "batch norm", "dropout", "float32"],
)
def test_right_ports_pass(trial: Any) -> None:
    found = result("second_order", trial())
    assert found.ok, found
    assert found.leaves >= 5
    assert found.max_relative_error < 1e-5


@jax.custom_jvp
def _to_first_order(x: jax.Array) -> jax.Array:
    return jnp.tanh(x)


@_to_first_order.defjvp
def _(primals: Any, tangents: Any) -> Any:
    y = jnp.tanh(primals[0])
    return y, tangents[0] * jax.lax.stop_gradient(1 - y * y)


def test_a_rule_without_second_derivative() -> None:
    trial = tried(Net(), Port(_to_first_order))
    assert all(result(check, trial).ok for check in FIRST)
    found = result("second_order", trial)
    assert not found.ok
    assert found.worst.startswith("Hessian product at")


def _reverse_only(slope: Any) -> Any:
    """The hyperbolic tangent with a rule for reverse mode."""

    @jax.custom_vjp
    def tanh(x: jax.Array) -> jax.Array:
        return jnp.tanh(x)

    tanh.defvjp(lambda x: (jnp.tanh(x), jnp.tanh(x)), lambda y, g: (g * slope(y),))
    return tanh


def test_a_rule_for_reverse_mode_alone_passes() -> None:
    found = result("second_order", tried(Net(), Port(_reverse_only(lambda y: 1 - y * y))))
    assert found.ok, found


def test_a_candidate_without_second_derivative_is_noted() -> None:
    def called(y: jax.Array) -> jax.Array:
        return jax.pure_callback(lambda v: 1 - v * v, jax.ShapeDtypeStruct(y.shape, y.dtype), y)

    trial = tried(Net(), Port(_reverse_only(called)))
    assert all(result(check, trial).ok for check in FIRST)
    (note,) = examined("second_order", trial).notes
    assert note.text.startswith("second_order: the candidate has no second derivative: ")


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(x)
        return x.tanh()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]  # no signature given
        return gradient * (1 - context.saved_tensors[0].tanh() ** 2)


def test_a_reference_without_second_derivative_is_noted() -> None:
    class Function(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return _Once.apply(x)

    trial = tried(Net(Function()), Port())
    (note,) = examined("second_order", trial).notes
    assert note.text == (
        "second_order: the reference's own forward and reverse mode disagree, so that nothing is judged"
    )


def test_attention_has_second_derivatives() -> None:
    class Attention(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            heads = x[:, None, None, :].expand(-1, 2, 3, -1) * torch.arange(1, 4)[:, None]
            return torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)

    def attention(x: jax.Array) -> jax.Array:
        heads = jnp.broadcast_to(x[:, None, None, :], (x.shape[0], 2, 3, x.shape[1])) * jnp.arange(1, 4)[:, None]
        scores = jnp.einsum("bhqd,bhkd->bhqk", heads, heads) / jnp.sqrt(x.shape[1])
        return jax.nn.softmax(scores) @ heads

    class Module(Port):
        def __call__(self, x: jax.Array) -> jax.Array:
            return self.second(attention(self.first(x)).sum((1, 2)))

    class Reference(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(Attention()(self.first(x)).sum((1, 2)))

    found = result("second_order", tried(Reference(), Module()))
    assert found.ok, found


def test_a_second_derivative_that_torch_gets_wrong_is_noted() -> None:
    class Directed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.length, self.direction = nn.Parameter(torch.rand(7, 1)), nn.Parameter(torch.rand(7, 5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weight = torch._weight_norm(self.direction, self.length, 0)  # what nn.utils.weight_norm calls
            return torch.tanh(x @ weight.T)

    class DirectedPort(nnx.Module):
        def __init__(self) -> None:
            self.length, self.direction = nnx.Param(jnp.ones((7, 1))), nnx.Param(jnp.ones((7, 5)))

        def __call__(self, x: jax.Array) -> jax.Array:
            norm = jnp.sqrt(jnp.sum(self.direction[...] ** 2, 1, keepdims=True))
            return jnp.tanh(x @ (self.length[...] * self.direction[...] / norm).T)

    found = examined("second_order", tried(Directed(), DirectedPort()))
    (note,) = {note.text for note in found.notes}
    assert note == (
        "second_order: not judged: the reference's Hessian product at direction is not how its own numbers change"
    )
    assert found.results[0].ok
    assert found.results[0].leaves == 3  # the outputs, and the products at the input and the length
