"""`loop` sees what only a second call shows."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from hypothesis import strategies as st
from torch import nn

from parity import Pair, real
from parity.trial import Trial
from tests.engine.checks.ports import BatchNorm, Net, Normed, NormedPort, Port, inputs, result, tried


class Running(nn.Module):
    """Adds up what it is given, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 5)
        self.register_buffer("sum", torch.zeros(11, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sum = self.sum + self.linear(x)
        return torch.tanh(self.sum)


class Unsaved(Running):
    """`Running` with a sum that `state_dict` leaves out."""

    def __init__(self) -> None:
        super().__init__()
        del self.sum
        self.register_buffer("sum", torch.zeros(11, 5), persistent=False)


class RunningPort(nnx.Module):
    """`Running`'s twin; one that forgets starts every call from what it was built with."""

    def __init__(self, *, forgets: bool = False, kind: type[nnx.Variable[Any]] = nnx.BatchStat) -> None:
        self.linear = nnx.Linear(5, 5, rngs=nnx.Rngs(0))
        self.sum = kind(jnp.zeros((11, 5)))
        self.forgets = forgets

    def __call__(self, x: jax.Array) -> jax.Array:
        after = self.sum[...] + self.linear(x)
        if not self.forgets:
            self.sum[...] = after
        return jnp.tanh(after)


def test_right_ports_pass() -> None:
    for trial in (tried(Net(), Port()), tried(Normed(), NormedPort(), modes=("eval", "train"))):
        found = result("loop", trial)
        assert found.ok, found
    assert result("loop", tried(Running(), RunningPort(), modes=("train",))).ok


def test_state_that_is_reset_between_calls() -> None:
    trial = tried(Running(), RunningPort(forgets=True), modes=("train",))
    assert result("forward", trial).ok
    found = result("loop", trial)
    assert not found.ok
    assert found.worst.startswith("output")


def test_weights_captured_at_the_first_call() -> None:
    captured: list[Any] = []

    class Stale(Port):
        def __call__(self, x: jax.Array) -> jax.Array:
            def keep(kernel: np.ndarray) -> np.ndarray:
                captured.append(kernel)
                return captured[0]

            kernel = self.first.kernel[...]
            spec = jax.ShapeDtypeStruct(kernel.shape, kernel.dtype)
            stale = jax.lax.stop_gradient(jax.pure_callback(keep, spec, jax.lax.stop_gradient(kernel)))
            return self.second(jnp.tanh(x @ stale + self.first.bias[...]))

    trial = tried(Net(), Stale())
    assert result("forward", trial).ok
    assert not result("loop", trial).ok


def test_a_candidate_that_remembers_its_calls() -> None:
    counter = itertools.count()

    class Remembers(Port):
        def __call__(self, x: jax.Array) -> jax.Array:
            spec = jax.ShapeDtypeStruct((), jnp.float32)
            calls = jax.pure_callback(lambda _: np.float32(next(counter)), spec, jax.lax.stop_gradient(x[0, 0]))
            return super().__call__(x) + jnp.maximum(calls - 1, 0)

    trial = tried(Net(), Remembers())
    assert result("forward", trial).ok
    assert not result("loop", trial).ok


class Decoder(nn.Module):
    """A running mean of embedded tokens: whole sequences at once, or token by token from a cache."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(13, 5)
        self.register_buffer("total", torch.zeros(3, 5))
        self.register_buffer("length", torch.zeros((), dtype=torch.int64))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.embedding(tokens).cumsum(1) / torch.arange(1, tokens.shape[1] + 1)[:, None]

    def decode(self, tokens: torch.Tensor) -> torch.Tensor:
        self.total = self.total + self.embedding(tokens).sum(1)
        self.length = self.length + tokens.shape[1]
        return self.total / self.length


class DecoderPort(nnx.Module):
    """`Decoder`'s twin; `off` is how far its cached position is off from the second call on."""

    def __init__(self, off: int = 0) -> None:
        self.embedding = nnx.Embed(13, 5, rngs=nnx.Rngs(0))
        self.total = nnx.BatchStat(jnp.zeros((3, 5)))
        self.length = nnx.BatchStat(jnp.zeros((), jnp.int32))
        self.off = off

    def __call__(self, tokens: jax.Array) -> jax.Array:
        return jnp.cumsum(self.embedding(tokens), 1) / jnp.arange(1, tokens.shape[1] + 1)[:, None]

    def decode(self, tokens: jax.Array) -> jax.Array:
        again = jnp.where(self.length[...] > 0, self.off, 0)
        self.total[...] = self.total[...] + self.embedding(tokens).sum(1)
        self.length[...] = self.length[...] + tokens.shape[1] + again
        return self.total[...] / self.length[...]


def _declared() -> Pair:
    return Pair(
        name="decoder",
        reference=lambda config: Decoder(),
        candidates={"nnx": lambda config: DecoderPort()},
        inputs=lambda config: st.just((real(3, 7),)),
        sequence=lambda tokens: [("decode", (tokens[:, :4],)), *[("decode", (tokens[:, i : i + 1],)) for i in (4, 5)]],
    )


def test_a_declared_sequence_of_calls() -> None:
    tokens = np.random.default_rng(0).integers(0, 13, (3, 7))
    right = tried(Decoder(), DecoderPort(), tokens, pair=_declared())
    zero = {name: np.zeros_like(value) for name, value in right.state.items() if name in ("total", "length")}
    right = right.__class__(right.session, right.example, right.precision, ({**right.state, **zero}, right.inputs))
    found = result("loop", right)
    assert found.ok, found
    wrong = tried(Decoder(), DecoderPort(off=1), tokens, pair=_declared())
    wrong = wrong.__class__(wrong.session, wrong.example, wrong.precision, ({**wrong.state, **zero}, wrong.inputs))
    assert result("forward", wrong).ok
    assert not result("loop", wrong).ok


def test_batch_norm_in_training_is_followed_over_calls() -> None:
    wrong = tried(Normed(), NormedPort(BatchNorm(7, momentum=0.2)), inputs(), modes=("eval", "train"))
    assert result("forward", wrong).ok
    assert result("loop", wrong).ok, "training-mode outputs do not depend on the statistics: `buffers` sees these"
    assert not result("buffers", wrong).ok


def test_what_state_dict_leaves_out_goes_on_from_call_to_call_and_begins_anew_with_every_example() -> None:
    trial = tried(Unsaved(), RunningPort(kind=nnx.Cache))
    for example in (trial, Trial(trial.session, trial.example, "float64")):
        assert result("forward", example).ok
        assert result("loop", example).ok
    assert not result("loop", tried(Unsaved(), RunningPort(forgets=True, kind=nnx.Cache))).ok
