"""Models of every make: results of several parts, shared modules, modules called twice, other divisions of the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox
import flax.struct
import jax
import jax.numpy as jnp
import pytest
import torch
from flax import nnx
from hypothesis import strategies as st
from torch import nn

import parity
from tests.engine.checks.ports import HIDDEN, OUT, WIDTH, Net, Port, inputs
from weight_bridge.mapping import Mapping, Rule


@dataclass
class Parts:
    """What the reference returns."""

    mean: Any
    rest: Any


@flax.struct.dataclass
class JaxParts:
    """The same, as a pytree."""

    mean: Any
    rest: Any


class Named(NamedTuple):
    """The same, as a named tuple."""

    mean: Any
    rest: Any


def as_dict(mean: Any, rest: Any) -> dict[str, Any]:
    return {"mean": mean, "rest": rest}


def as_tuple(mean: Any, rest: Any) -> tuple[Any, Any]:
    return mean, rest


class Several(Net):
    """Returns its results in a container."""

    def __init__(self, kind: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> Any:
        y = super().forward(x)
        return self.kind(y.mean(0), [y, (y.argmax(-1), None)])


class SeveralPort(Port):
    """`Several`'s twin; `factor` is a mistake in one part."""

    def __init__(self, kind: Callable[[Any, Any], Any], factor: float = 1.0) -> None:
        super().__init__()
        self.kind, self.factor = kind, factor

    def __call__(self, x: Any) -> Any:
        y = super().__call__(x)
        return self.kind(y.mean(0), [y * self.factor, (y.argmax(-1), None)])


@pytest.mark.parametrize(
    ("reference", "candidate", "leaf"),
    [
        (Parts, JaxParts, "output.rest[0]"),
        (Parts, as_dict, "output.rest[0]"),
        (as_dict, Named, "output.rest[0]"),
        (as_tuple, as_tuple, "output[1][0]"),
    ],
    ids=["dataclasses", "dataclass and dict", "dict and named tuple", "tuples"],
)
def test_results_of_several_parts(reference: Any, candidate: Any, leaf: str) -> None:
    right = parity.compare(Several(reference), SeveralPort(candidate), inputs())
    assert right.ok, right
    assert right.results[0].leaves == 3
    wrong = parity.compare(Several(reference), SeveralPort(candidate, 1.001), inputs(), checks=("forward",))
    assert wrong.results[0].worst.startswith(leaf), wrong


class Conjugated(nn.Module):
    """Returns what torch only notes down as conjugate, and as negative."""

    def forward(self, x: torch.Tensor) -> Any:
        y = torch.fft.rfft(x).conj()
        return y, y.imag


@pytest.mark.parametrize(("sign", "ok"), [(-1, True), (1, False)])
def test_what_torch_has_yet_to_conjugate_and_negate(sign: int, ok: bool) -> None:
    def candidate(x: Any) -> Any:
        y = jnp.fft.rfft(x)
        return y.real + sign * 1j * y.imag, -y.imag

    assert parity.compare(Conjugated(), candidate, inputs(), carry=None, checks=("forward",)).ok is ok


class Rotated(nn.Module):
    """Turns a spectrum by complex numbers, in a buffer or as a parameter."""

    def __init__(self, *, trained: bool = False) -> None:
        super().__init__()
        turns = torch.polar(torch.ones(3), torch.arange(1.0, 4.0))
        self.turns = nn.Parameter(turns) if trained else nn.Buffer(turns, persistent=False)

    def forward(self, x: torch.Tensor) -> Any:
        return torch.fft.irfft(torch.fft.rfft(x) * self.turns, n=WIDTH)


def test_complex_buffers_keep_their_imaginary_parts_and_complex_parameters_are_refused() -> None:
    turns = Rotated().turns.numpy()

    def candidate(x: Any) -> Any:
        return jnp.fft.irfft(jnp.fft.rfft(x) * turns, n=WIDTH)

    assert parity.compare(Rotated(), candidate, inputs(), carry=None, checks=("forward", "input_grad")).ok
    with pytest.raises(parity.UsageError, match="parameter turns of Rotated is complex: its gradient is not compared"):
        parity.compare(Rotated(trained=True), candidate, inputs(), carry=None)


class RotatedAndMapped(nn.Module):
    """`Rotated` in front of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.rotated, self.linear = Rotated(), nn.Linear(WIDTH, OUT)

    def forward(self, x: torch.Tensor) -> Any:
        return self.linear(self.rotated(x))


class RotatedPort(nnx.Module):
    def __call__(self, x: Any) -> Any:
        return jnp.fft.irfft(jnp.fft.rfft(x) * Rotated().turns.numpy(), n=WIDTH)


class RotatedAndMappedPort(nnx.Module):
    """`RotatedAndMapped`'s twin, which doubles what its layer gives."""

    def __init__(self) -> None:
        self.rotated = RotatedPort()
        self.linear = Doubled(WIDTH, OUT, rngs=nnx.Rngs(0))

    def __call__(self, x: Any) -> Any:
        return self.linear(self.rotated(x))


class Doubled(nnx.Linear):
    def __call__(self, inputs: Any) -> Any:
        return 2 * super().__call__(inputs)


def test_a_mistake_behind_a_complex_buffer_is_located_behind_it() -> None:
    report = parity.compare(RotatedAndMapped(), RotatedAndMappedPort(), inputs())
    assert report.divergence is not None
    assert (report.divergence.reference, report.divergence.introduced) == ("linear", True)


class Shared(nn.Module):
    """One layer under two names, called twice; and a normalisation that is called once per branch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.again = self.first
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, OUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.again(torch.tanh(self.norm(self.first(x))))))


class SharedPort(nnx.Module):
    """`Shared`'s twin."""

    def __init__(self, epsilon: float = 1e-5, *, tied: bool = True) -> None:
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.again = self.first if tied else nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.norm = nnx.LayerNorm(WIDTH, epsilon=epsilon, rngs=rngs)
        self.head = nnx.Linear(WIDTH, OUT, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.head(self.norm(self.again(jnp.tanh(self.norm(self.first(x))))))


@pytest.mark.parametrize("tied", [True, False])
def test_a_shared_module_and_one_called_twice(tied: bool) -> None:
    report = parity.compare(Shared(), SharedPort(tied=tied), inputs())
    assert report.ok, report
    wrong = parity.compare(Shared(), SharedPort(1e-3, tied=tied), inputs(), checks=("forward",))
    assert wrong.divergence is not None
    assert wrong.divergence.reference == "norm", wrong


class Fused(nnx.Module):
    """`Net` in one module, without the modules inside."""

    def __init__(self, function: Callable[[Any], Any] = jnp.tanh) -> None:
        self.w1, self.b1 = nnx.Param(jnp.zeros((HIDDEN, WIDTH))), nnx.Param(jnp.zeros(HIDDEN))
        self.w2, self.b2 = nnx.Param(jnp.zeros((OUT, HIDDEN))), nnx.Param(jnp.zeros(OUT))
        self.function = function

    def __call__(self, x: Any) -> Any:
        return self.function(x @ self.w1[...].T + self.b1[...]) @ self.w2[...].T + self.b2[...]


class Branch(nn.Module):
    """A block whose counterpart has no modules inside, then a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Net()
        self.head = nn.Linear(OUT, OUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(x))


class BranchPort(nnx.Module):
    """`Branch`'s twin."""

    def __init__(self, function: Callable[[Any], Any] = jnp.tanh) -> None:
        self.block = Fused(function)
        self.head = nnx.Linear(OUT, OUT, rngs=nnx.Rngs(0))

    def __call__(self, x: Any) -> Any:
        return self.head(self.block(x))


def test_modules_without_a_counterpart_of_their_own() -> None:
    names = {"first.weight": "w1", "first.bias": "b1", "second.weight": "w2", "second.bias": "b2"}
    mapping = Mapping(tuple(Rule((f"block.{name}",), (f"block/{path}",)) for name, path in names.items()))
    assert parity.compare(Branch(), BranchPort(), inputs(), carry=mapping).ok
    wrong = parity.compare(Branch(), BranchPort(lambda x: jax.nn.relu(x)), inputs(), carry=mapping)
    assert wrong.divergence is not None
    assert wrong.divergence.reference == "block", wrong


def _scaled_function() -> Any:
    scale = jnp.arange(1.0, 1.0 + OUT)
    return lambda params, x: x @ params["layer"]["kernel"] * scale, {"layer": {"kernel": jnp.zeros((WIDTH, OUT))}}


class ScaledEquinox(equinox.Module):
    layer: equinox.nn.Linear
    act: Callable[[Any], Any]

    def __init__(self) -> None:
        scale = jnp.arange(1.0, 1.0 + OUT)
        self.layer = equinox.nn.Linear(WIDTH, OUT, use_bias=False, key=jax.random.key(0))
        self.act = lambda x: x * scale

    def __call__(self, x: Any) -> Any:
        return self.act(jax.vmap(self.layer)(x))


class ScaledModule(nnx.Module):
    def __init__(self) -> None:
        self.layer = nnx.Linear(WIDTH, OUT, use_bias=False, rngs=nnx.Rngs(0))
        self.act = partial(jnp.multiply, jnp.arange(1.0, 1.0 + OUT))

    def __call__(self, x: Any) -> Any:
        return self.act(self.layer(x))


@pytest.mark.parametrize("candidate", [_scaled_function, ScaledEquinox, ScaledModule])
def test_constants_that_a_pairs_candidate_computes_when_it_is_built(candidate: Callable[[], Any]) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, OUT, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) * torch.arange(1, 1 + OUT)

    pair = parity.Pair(
        name="scaled",
        reference=lambda _: Scaled(),
        candidates={"jax": lambda _: candidate()},
        inputs=lambda _: st.just((parity.real(2, WIDTH),)),
        checks=("forward", "second_order"),
    )
    report = parity.check(pair, examples=1)
    assert report.ok, report
    assert all(result.leaves for result in report.results), report
