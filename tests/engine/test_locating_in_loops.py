"""Calls inside loops and compiled functions have no values; they are located all the same, with the loops unrolled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen, nnx
from torch import nn

import parity
from tests.engine.explain.mistake import spread

X = np.random.default_rng(0).normal(size=(3, 7))


class TorchBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(7, 7), nn.LayerNorm(7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.tanh(self.norm(self.layer(x)))


class TorchLoop(nn.Module):
    """One block, four times."""

    def __init__(self) -> None:
        super().__init__()
        self.block = TorchBlock()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(4):
            x = self.block(x)
        return x


class TorchStack(nn.Module):
    """Three blocks, once each."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([TorchBlock() for _ in range(3)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Halved(nnx.Linear):
    """Right outputs, and half the gradient by the kernel."""

    def __call__(self, inputs: jax.Array, out_sharding: Any = None) -> jax.Array:
        kernel = self.kernel[...]
        assert self.bias is not None
        return inputs @ (0.5 * kernel + 0.5 * jax.lax.stop_gradient(kernel)) + self.bias[...]


class Block(nnx.Module):
    def __init__(self, rngs: nnx.Rngs, epsilon: float = 1e-5, layer: type[nnx.Linear] = nnx.Linear) -> None:
        self.layer, self.norm = layer(7, 7, rngs=rngs), nnx.LayerNorm(7, epsilon=epsilon, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + jnp.tanh(self.norm(self.layer(x)))


def compiled(block: Block, x: jax.Array) -> jax.Array:
    call = nnx.jit(lambda block, x: block(x))
    for _ in range(4):
        x = call(block, x)
    return x


LOOPS: dict[str, Callable[[Block, jax.Array], jax.Array]] = {
    "scan": lambda block, x: jax.lax.scan(lambda x, _: (block(x), None), x, None, length=4)[0],
    "while_loop": lambda block, x: jax.lax.while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, block(c[1])), (0, x))[1],
    "jit": compiled,
}


class Loop(nnx.Module):
    """`TorchLoop`."""

    def __init__(self, way: str, **wrong: Any) -> None:
        self.block, self.way = Block(nnx.Rngs(0), **wrong), way

    def __call__(self, x: jax.Array) -> jax.Array:
        return LOOPS[self.way](self.block, x)


class Stack(nnx.Module):
    """`TorchStack`, its layers along the first axis of every variable."""

    def __init__(self, **wrong: Any) -> None:
        make = nnx.vmap(lambda rngs: Block(rngs, **wrong), in_axes=0, out_axes=0)
        self.layers = nnx.split_rngs(splits=3)(make)(nnx.Rngs(0))

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.scan(lambda layer, x: layer(x), in_axes=(0, nnx.Carry), out_axes=nnx.Carry)(self.layers, x)


class LinenBlock(linen.Module):
    epsilon: float

    @linen.compact
    def __call__(self, x: jax.Array, _: None) -> tuple[jax.Array, None]:
        y = linen.LayerNorm(epsilon=self.epsilon, name="norm")(linen.Dense(7, name="layer")(x))
        return x + jnp.tanh(y), None


class LinenStack(linen.Module):
    """`TorchStack` in linen."""

    epsilon: float

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        stack = linen.scan(LinenBlock, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        return stack(self.epsilon, name="layers")(x, None)[0]


def linen_stack() -> Any:
    module = LinenStack(1e-3)
    return module, module.init(jax.random.key(0), jnp.zeros((3, 7), jnp.float32))


@pytest.mark.parametrize(
    ("reference", "candidate", "where"),
    [
        *((TorchLoop, lambda way=way: Loop(way, epsilon=1e-3), "block.norm") for way in LOOPS),
        (TorchStack, lambda: Stack(epsilon=1e-3), "layers.0.norm"),
        (TorchStack, linen_stack, "layers.0.norm"),
    ],
    ids=[*LOOPS, "nnx.scan", "linen.scan"],
)
def test_a_mistake_in_a_loop_is_located_and_named(
    reference: type[nn.Module], candidate: Callable[[], Any], where: str
) -> None:
    report = parity.compare(spread(reference()), candidate(), X, checks=("forward",))
    assert report.divergence is not None
    assert (report.divergence.reference, report.divergence.introduced) == (where, True), report
    assert (report.causes[0].id, report.causes[0].where) == ("norm-epsilon", where), report


def test_a_gradient_summed_over_a_loop_is_located() -> None:
    report = parity.compare(spread(TorchLoop()), Loop("scan", layer=Halved), X, checks=("param_grad",))
    assert report.divergence is not None
    assert (report.divergence.reference, report.divergence.candidate) == ("block.layer", "block/layer"), report


def test_a_gradient_by_stacked_layers_belongs_to_what_holds_the_stack() -> None:
    report = parity.compare(spread(TorchStack()), Stack(layer=Halved), X, checks=("param_grad",))
    assert report.divergence is not None
    assert (report.divergence.reference, report.divergence.introduced) == ("", True), report


class TorchUntil(nn.Module):
    """A block until its result is large, and once more on all of two batches together."""

    def __init__(self) -> None:
        super().__init__()
        self.block = TorchBlock()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while bool(x.detach().square().sum() < 400):
            x = self.block(x)
        return torch.cat([self.block(x), self.block(-x)])


class Until(nnx.Module):
    """`TorchUntil`."""

    def __init__(self, epsilon: float) -> None:
        self.block = Block(nnx.Rngs(0), epsilon)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = jax.lax.while_loop(lambda x: jnp.square(x).sum() < 400, self.block, x)
        return self.block(jnp.concatenate([x, -x]))


def test_loops_that_stop_at_different_times_are_compared_as_far_as_they_go() -> None:
    report = parity.compare(spread(TorchUntil()), Until(1e-5), X, checks=("forward",))
    assert report.ok, report
    report = parity.compare(spread(TorchUntil()), Until(3.0), X, checks=("forward",))
    assert report.divergence is not None
    assert (report.divergence.reference, report.divergence.introduced) == ("block.norm", True), report
    assert (report.causes[0].id, report.causes[0].where) == ("norm-epsilon", "block.norm"), report
