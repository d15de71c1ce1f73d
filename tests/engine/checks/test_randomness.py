"""`randomness` names what is drawn otherwise; `forward` compares with dropout active; `initial`, fresh weights."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
import torch
from flax import nnx
from hypothesis import strategies as st
from torch import nn

from parity import Pair, check, real
from parity.trial import Trial
from tests.engine.checks.ports import Dropping, DroppingPort, Net, Port, examined, inputs, result, tried


def test_right_port_passes_with_dropout_active() -> None:
    trial = tried(Dropping(), DroppingPort(), modes=("eval", "train"))
    assert len(trial.reference("train").draws) == 2
    for name in ("forward", "input_grad", "param_grad", "randomness"):
        found = result(name, trial)
        assert found.ok, found
        assert found.leaves > 0


def test_a_failure_says_where_the_numbers_of_a_draw_cannot_be_shared() -> None:
    trial = tried(Dropping(), DroppingPort(shape=(0,)), modes=("train",))  # one mask for all rows
    found = examined("forward", trial)
    assert not found.ok
    (note,) = (note.text for note in found.notes if note.text.startswith("randomness"))
    assert "train mode: the candidate draws bernoulli with p = 0.8 of shape [1, 7] where the reference has" in note
    assert not any(
        note.text.startswith("randomness") for note in examined("forward", tried(Net(), Port(jnp.sin))).notes
    )


class CompiledPort(DroppingPort):
    """`Dropping`'s twin, whose own functions are compiled."""

    @nnx.jit
    def __call__(self, x: Any) -> Any:
        return super().__call__(x)


@jax.jit
def _dropped(x: Any, key: Any) -> Any:
    return jnp.where(jax.random.bernoulli(key, 0.8, x.shape), x / 0.8, 0.0)


class PartlyCompiledPort(DroppingPort):
    """`Dropping`'s twin, whose first dropout is a compiled function that outlives every call."""

    def __call__(self, x: Any) -> Any:
        y = self.first(x)
        return self.high(jnp.tanh(y if self.low.deterministic else _dropped(y, self.low.rngs())))


@pytest.mark.parametrize("port", [CompiledPort, PartlyCompiledPort])
def test_draws_inside_of_what_the_candidate_compiles_are_seen_in_every_call(port: Any) -> None:
    trial = tried(Dropping(), port(), modes=("eval", "train"))
    for name in ("forward", "input_grad", "randomness", "loop"):
        found = result(name, trial)
        assert found.ok, found


def test_an_empty_batch_that_draws_nothing_leaves_later_calls_as_they_were() -> None:
    trial = tried(Dropping(), DroppingPort(), modes=("train",))
    assert result("sizes", trial).ok
    assert not trial.fed((inputs(11, 5)[:0],)).reference("train").draws
    again = Trial(trial.session, trial.example, "float64")
    assert len(again.reference("train").draws) == 2
    assert result("forward", again).ok


@pytest.mark.parametrize(
    ("port", "problem"),
    [
        (
            lambda: DroppingPort(low=0.8),
            (
                "the candidate draws bernoulli with p = 0.2 of shape [11, 7] where the reference has bernoulli with "
                "p = 0.8 of shape [11, 7]"
            ),
        ),
        (lambda: DroppingPort(low=0.0), "the candidate does not draw bernoulli with p = 0.8 of shape [11, 7]"),
        (
            lambda: DroppingPort(shape=(0,)),
            (
                "the candidate draws bernoulli with p = 0.8 of shape [1, 7] where the reference has bernoulli with "
                "p = 0.8 of shape [11, 7]"
            ),
        ),
    ],
    ids=["keep for drop", "missing", "one mask for the batch"],
)
def test_what_is_drawn_otherwise_is_named(port: Any, problem: str) -> None:
    trial = tried(Dropping(), port(), modes=("train",))
    assert not result("forward", trial).ok
    found = result("randomness", trial)
    assert not found.ok
    assert found.detail == problem


class Inner(nn.Module):
    """`Dropping` in a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Dropping()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


class Anew(nnx.Module):
    """Draws numbers as a module does that is built at every call; without an effect, unless told so."""

    def __init__(self, effect: float, shape: tuple[int, ...] = (3, 2)) -> None:
        self.inner, self.effect, self.shape = DroppingPort(), effect, shape

    def __call__(self, x: jax.Array) -> jax.Array:
        fresh = jax.random.uniform(jax.random.key(0), self.shape)
        return self.inner(x) + (self.effect * fresh.sum() if self.effect else 0.0)


@pytest.mark.parametrize(
    ("effect", "details"),
    [
        (0.0, ["the same draws on both sides"]),
        (1e-30, ["only the candidate draws uniform of shape [3, 2]"]),
        (1.0, ["only the candidate draws uniform of shape [3, 2]"]),
    ],
)
def test_draws_that_nothing_depends_on_are_remarked_only(effect: float, details: list[str]) -> None:
    found = examined("randomness", tried(Inner(), Anew(effect), modes=("train",)))
    assert [r.detail for r in found.results] == details
    assert [n.text for n in found.notes] == (
        ["randomness: the candidate draws numbers that it does not use, in train mode"] if not effect else []
    )


@pytest.mark.parametrize("shape", [(11, 7), (7, 11), (77,)])
def test_a_draw_of_a_masks_size_that_is_thrown_away_takes_no_mask(shape: tuple[int, ...]) -> None:
    trial = tried(Inner(), Anew(0.0, shape), modes=("train",))
    assert [r.detail for r in examined("randomness", trial).results] == ["the same draws on both sides"]
    assert result("forward", trial).ok
    assert result("param_grad", trial).ok


@pytest.mark.parametrize("chance", [0.5, 0.97])
def test_a_mask_that_hardly_ever_drops_is_no_idle_draw(chance: float) -> None:
    class Masked(nnx.Module):
        def __init__(self) -> None:
            self.rngs = nnx.Rngs(3)

        def __call__(self, x: jax.Array) -> jax.Array:
            return jnp.where(jax.random.bernoulli(self.rngs(), chance, x.shape), jnp.tanh(x), 0)

    pair = Pair(
        name="masked",
        reference=lambda config: nn.Tanh(),
        candidates={"nnx": lambda config: Masked()},
        inputs=lambda config: st.just((real(2, 3),)),
        checks=("randomness",),
    )
    assert not check(pair, examples=3).ok


def test_idle_draws_are_remarked_in_reports() -> None:
    class Idle(nnx.Module):
        def __call__(self, x: jax.Array) -> jax.Array:
            jax.random.uniform(jax.random.key(0), (3, 2))
            return jnp.tanh(x)

    pair = Pair(
        name="idle",
        reference=lambda config: nn.Tanh(),
        candidates={"nnx": lambda config: Idle()},
        inputs=lambda config: st.just((real(2, 3),)),
        modes=("eval",),
        checks=("forward", "randomness"),
    )
    report = check(pair, examples=5)
    assert report.ok
    assert "randomness: the candidate draws numbers that it does not use, in eval mode" in report.notes


def test_dropout_that_does_not_rescale_is_seen_with_the_same_mask() -> None:
    class Unscaled(DroppingPort):
        def __call__(self, x: jax.Array) -> jax.Array:
            return super().__call__(x) * 0.5

    trial = tried(Dropping(), Unscaled(), modes=("train",))
    assert result("randomness", trial).ok
    found = result("forward", trial)
    assert not found.ok
    assert found.max_relative_error == pytest.approx(0.5)


class KeyedPort(nnx.Module):
    """`Dropping`'s twin with keys handed out by hand."""

    def __init__(self, keys: str) -> None:
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(5, 7, rngs=rngs)
        self.rngs = rngs.dropout.fork()
        self.keys = keys
        self.deterministic = False

    def __call__(self, x: jax.Array) -> jax.Array:
        frozen = jax.random.split(jax.random.key(7))
        low = frozen[0] if self.keys == "frozen" else self.rngs()
        high = {"frozen": lambda: frozen[1], "reused": lambda: low}.get(self.keys, self.rngs)()
        return self._drop(jnp.tanh(self._drop(self.first(x), low, 0.8)), high, 0.5)

    def _drop(self, x: jax.Array, key: Any, keep: float) -> jax.Array:
        if self.deterministic:
            return x
        return jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0.0)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("fresh", None),
        ("frozen", "bernoulli with p = 0.8 of shape [11, 7] has the same key at every call: its numbers never change"),
        ("reused", "draws 0 and 1 of a call have the same key: their numbers are the same"),
    ],
)
def test_keys_are_fresh(keys: str, problem: str | None) -> None:
    trial = tried(Dropping(), KeyedPort(keys), modes=("train",))
    assert result("forward", trial).ok, "the numbers are shared, so that keys do not show here"
    found = result("randomness", trial)
    assert found.ok == (problem is None)
    assert problem is None or found.detail == problem


class Noisy(nn.Module):
    """Draws of every kind that both frameworks have."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        probabilities = torch.softmax(x, -1)
        return {
            "normal": x + torch.randn_like(x),
            "uniform": x * torch.rand(x.shape, dtype=x.dtype),
            "range": x * torch.empty_like(x).uniform_(-2, 3),
            "scaled": torch.normal(x, 0.5),
            "gumbel": x - torch.empty_like(x).exponential_().log(),
            "class": torch.multinomial(probabilities, 1)[:, 0],
            "bits": torch.bernoulli(probabilities),
            "order": x[torch.randperm(x.shape[0])],
            "integers": torch.randint(0, 9, (x.shape[0], 3)),
        }


def _noisy(x: jax.Array) -> dict[str, jax.Array]:
    keys = jax.random.split(jax.random.key(0), 9)
    probabilities = jax.nn.softmax(x)
    return {
        "normal": x + jax.random.normal(keys[0], x.shape, x.dtype),
        "uniform": x * jax.random.uniform(keys[1], x.shape, x.dtype),
        "range": x * jax.random.uniform(keys[2], x.shape, x.dtype, -2, 3),
        "scaled": x + 0.5 * jax.random.normal(keys[3], x.shape, x.dtype),
        "gumbel": x + jax.random.gumbel(keys[4], x.shape, x.dtype),
        "class": jax.random.categorical(keys[5], jnp.log(probabilities)),
        "bits": jax.random.bernoulli(keys[6], probabilities).astype(x.dtype),
        "order": x[jax.random.permutation(keys[7], x.shape[0])],
        "integers": jax.random.randint(keys[8], (x.shape[0], 3), 0, 9),
    }


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_every_kind_of_draw_has_the_same_numbers(precision: Any) -> None:
    trial = tried(Noisy(), _noisy, inputs(11, 5), carry=None, precision=precision)
    found = result("forward", trial)
    assert found.ok, found
    assert [draw.kind for draw in trial.reference("eval").draws] == [
        *("normal", "uniform", "uniform", "normal", "exponential"),
        *("categorical", "bernoulli", "permutation", "integers"),
    ]


def test_other_numbers_come_with_other_seeds() -> None:
    trial = tried(Noisy(), _noisy, inputs(11, 5), carry=None)
    other = trial.fed(trial.inputs)
    again = type(trial)(trial.session, type(trial.example)(trial.inputs, seed=4), "float64")
    assert (trial.candidate("eval").outputs["output.normal"] == other.candidate("eval").outputs["output.normal"]).all()
    assert (trial.candidate("eval").outputs["output.normal"] != again.candidate("eval").outputs["output.normal"]).any()


class Uniform(nnx.Module):
    """Initialised as torch does a linear layer."""

    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.linear = nnx.Linear(
            *(101, 103),
            kernel_init=nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
            bias_init=lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -(101**-0.5), 101**-0.5),
            rngs=rngs,
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.linear(x)


class Lecun(Uniform):
    """Initialised as Flax does a linear layer."""

    def __init__(self) -> None:
        self.linear = nnx.Linear(101, 103, rngs=nnx.Rngs(0))


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(101, 103)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


@pytest.mark.parametrize(("port", "ok"), [(Uniform, True), (Lecun, False)])
def test_initial_values_are_drawn_alike(port: Any, ok: bool) -> None:
    pair = Pair(
        name="linear",
        reference=lambda config: Linear(),
        candidates={"nnx": lambda config: port()},
        inputs=lambda config: st.just((real(3, 101),)),
    )
    trial = tried(Linear(), port(), inputs(3, 101), pair=pair)
    assert result("forward", trial).ok
    found = result("initial", trial)
    assert found.ok == ok, found
    assert found.verdict == ("parity" if ok else "statistical")
    assert ok or found.worst == "spread of initial linear/kernel"


def test_initial_constants_are_equal() -> None:
    class Shifted(Port):
        def __init__(self) -> None:
            super().__init__()
            self.first.bias[...] = jnp.full(7, 0.1)

    class Zero(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(5, 7), nn.Linear(7, 3)
            for parameter in (self.first.bias, self.second.bias):
                nn.init.zeros_(parameter)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(torch.tanh(self.first(x)))

    pair = Pair(
        name="net",
        reference=lambda config: Zero(),
        candidates={"nnx": lambda config: Shifted()},
        inputs=lambda config: st.just((real(11, 5),)),
    )
    found = result("initial", tried(Zero(), Shifted(), pair=pair))
    assert (found.ok, found.worst, found.expected) == (False, "initial first/bias", 0.0)
