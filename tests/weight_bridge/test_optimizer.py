"""Training goes on: after k steps in torch, the next ones in JAX are the next ones in torch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import flax.linen as ln
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from flax import nnx

import weight_bridge

INPUTS, HIDDEN, OUTPUTS, EXAMPLES = 3, 7, 5, 11
X = np.random.default_rng(0).normal(size=(EXAMPLES, INPUTS))
Y = np.random.default_rng(1).normal(size=(EXAMPLES, OUTPUTS))


class Torch(torch.nn.Module):
    """A square layer between two others; transposed kernels, a norm's scale."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(INPUTS, HIDDEN)
        self.square = torch.nn.Linear(HIDDEN, HIDDEN)
        self.norm = torch.nn.LayerNorm(HIDDEN)
        self.last = torch.nn.Linear(HIDDEN, OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(torch.tanh(self.square(torch.tanh(self.first(x))))))


class Nnx(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(INPUTS, HIDDEN, rngs=rngs)
        self.square = nnx.Linear(HIDDEN, HIDDEN, rngs=rngs)
        self.norm = nnx.LayerNorm(HIDDEN, epsilon=1e-5, use_fast_variance=False, rngs=rngs)
        self.last = nnx.Linear(HIDDEN, OUTPUTS, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.last(self.norm(jnp.tanh(self.square(jnp.tanh(self.first(x))))))


class Linen(ln.Module):
    @ln.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = jnp.tanh(ln.Dense(HIDDEN, name="first")(x))
        x = jnp.tanh(ln.Dense(HIDDEN, name="square")(x))
        x = ln.LayerNorm(epsilon=1e-5, use_fast_variance=False, name="norm")(x)
        return ln.Dense(OUTPUTS, name="last")(x)


class Equinox(eqx.Module):
    first: eqx.nn.Linear
    square: eqx.nn.Linear
    norm: eqx.nn.LayerNorm
    last: eqx.nn.Linear
    squash: Callable[[jax.Array], jax.Array]

    def __init__(self) -> None:
        key = jax.random.key(0)
        self.first = eqx.nn.Linear(INPUTS, HIDDEN, key=key)
        self.square = eqx.nn.Linear(HIDDEN, HIDDEN, key=key)
        self.norm = eqx.nn.LayerNorm(HIDDEN)
        self.last = eqx.nn.Linear(HIDDEN, OUTPUTS, key=key)
        self.squash = jnp.tanh

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.vmap(lambda e: self.last(self.norm(self.squash(self.square(self.squash(self.first(e)))))))(x)


@hk.transform_with_state
def haiku(x: jax.Array) -> jax.Array:
    x = jnp.tanh(hk.Linear(HIDDEN, name="first")(x))
    x = jnp.tanh(hk.Linear(HIDDEN, name="square")(x))
    return hk.Linear(OUTPUTS, name="last")(hk.LayerNorm(-1, True, True, name="norm")(x))


def torch_steps(model: torch.nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        loss = ((model(torch.from_numpy(X)) - torch.from_numpy(Y)) ** 2).mean()
        loss.backward()
        optimizer.step()


def trained(build: Callable[[Torch], torch.optim.Optimizer], steps: int) -> tuple[Torch, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = Torch().double()
    optimizer = build(model)
    torch_steps(model, optimizer, steps)
    return model, optimizer


def nnx_side(state: Any) -> tuple[Any, Any, Callable[[Any], jax.Array]]:
    abstract = nnx.eval_shape(lambda: Nnx(rngs=nnx.Rngs(0)))
    graph = nnx.split(abstract)[0]
    return abstract, weight_bridge.convert(state, abstract), lambda p: nnx.merge(graph, p)(X)


def linen_side(state: Any) -> tuple[Any, Any, Callable[[Any], jax.Array]]:
    target = Linen(), jax.ShapeDtypeStruct(X.shape, jnp.float32)
    return target, weight_bridge.convert(state, target)["params"], lambda p: Linen().apply({"params": p}, X)


def equinox_side(state: Any) -> tuple[Any, Any, Callable[[Any], jax.Array]]:
    model = Equinox()
    parameters, rest = eqx.partition(weight_bridge.convert(state, model), eqx.is_inexact_array)
    return model, parameters, lambda p: eqx.combine(p, rest)(X)


def haiku_side(state: Any) -> tuple[Any, Any, Callable[[Any], jax.Array]]:
    target = haiku, jax.ShapeDtypeStruct(X.shape, jnp.float32)
    parameters, kept = weight_bridge.convert(state, target)
    return target, parameters, lambda p: haiku.apply(p, kept, None, X)[0]


SIDES = {"nnx": nnx_side, "linen": linen_side, "equinox": equinox_side, "haiku": haiku_side}


def relative_error(side: str, model: Torch, optimizer: torch.optim.Optimizer, steps: int, **options: Any) -> float:
    """The largest relative distance of a leaf after each of some more steps on both sides."""
    with jax.enable_x64(True):
        target, parameters, forward = SIDES[side](model.state_dict())
        transformation, state = weight_bridge.convert_optimizer(model, target, optimizer=optimizer, **options)

        @jax.jit
        def step(parameters: Any, state: Any) -> Any:
            gradients = jax.grad(lambda p: ((forward(p) - Y) ** 2).mean())(parameters)
            updates, state = transformation.update(gradients, state, parameters)
            return optax.apply_updates(parameters, updates), state

        errors: list[float] = []
        for _ in range(steps):
            parameters, state = step(parameters, state)
            torch_steps(model, optimizer, 1)
            wanted = SIDES[side](model.state_dict())[1]
            pairs = zip(jax.tree.leaves(parameters), jax.tree.leaves(wanted), strict=True)
            errors += [float(np.linalg.norm(a - b) / (np.linalg.norm(b) or 1.0)) for a, b in pairs]
        return max(errors)


def named_groups(model: Torch) -> list[dict[str, Any]]:
    """Two groups that cross the model's order, with settings of their own."""
    named = list(model.named_parameters())
    kernels = [(name, value) for name, value in named if value.ndim == 2]
    rest = [(name, value) for name, value in named if value.ndim == 1]
    return [{"params": rest, "weight_decay": 0.0, "lr": 0.02}, {"params": kernels, "weight_decay": 0.1}]


RULES: dict[str, Callable[[Torch], torch.optim.Optimizer]] = {
    "SGD": lambda m: torch.optim.SGD(m.parameters(), 0.1),
    "momentum": lambda m: torch.optim.SGD(m.parameters(), 0.1, momentum=0.9, weight_decay=0.01),
    "dampening": lambda m: torch.optim.SGD(m.parameters(), 0.1, momentum=0.9, dampening=0.3),
    "Nesterov": lambda m: torch.optim.SGD(m.parameters(), 0.05, momentum=0.9, nesterov=True),
    "Adam": lambda m: torch.optim.Adam(m.parameters(), 0.01, betas=(0.8, 0.95), weight_decay=0.1),
    "AdamW, upwards": lambda m: torch.optim.AdamW(m.parameters(), 0.01, weight_decay=0.2, maximize=True),
    "groups": lambda m: torch.optim.AdamW(named_groups(m), 0.01),
    "some frozen": lambda m: torch.optim.Adam(m.square.parameters(), 0.01),
}


@pytest.mark.parametrize("name", RULES)
def test_steps_after_conversion_are_torch_s(name: str) -> None:
    assert relative_error("nnx", *trained(RULES[name], 4), 3) <= 1e-12


@pytest.mark.parametrize("side", ["linen", "equinox", "haiku"])
@pytest.mark.parametrize("name", ["groups", "Nesterov"])
def test_every_library_s_tree_is_filled(side: str, name: str) -> None:
    assert relative_error(side, *trained(RULES[name], 4), 3) <= 1e-12


def test_a_fresh_optimizer_starts_as_optax_does() -> None:
    assert relative_error("linen", *trained(RULES["Adam"], 0), 2) <= 1e-12


def test_a_transformation_of_the_caller_is_filled() -> None:
    own = optax.chain(
        optax.clip_by_global_norm(1e9),
        optax.inject_hyperparams(optax.adamw)(optax.constant_schedule(0.01), weight_decay=0.2),
    )
    model, optimizer = trained(lambda m: torch.optim.AdamW(m.parameters(), 0.01, weight_decay=0.2), 4)
    assert relative_error("nnx", model, optimizer, 3, transformation=own) <= 1e-12


def test_a_wrong_step_count_would_be_noticed() -> None:
    model, optimizer = trained(RULES["Adam"], 4)
    saved = copy.deepcopy(optimizer.state_dict())
    for state in saved["state"].values():
        state["step"] = torch.tensor(5.0)
    with jax.enable_x64(True):
        target, parameters, _ = nnx_side(model.state_dict())
        right = weight_bridge.convert_optimizer(model, target, optimizer=optimizer)
        wrong = weight_bridge.convert_optimizer(model, target, optimizer=saved)
        moves = [rule.update(parameters, state, parameters)[0] for rule, state in (right, wrong)]
    assert not all(map(np.allclose, *map(jax.tree.leaves, moves)))


def test_a_trainer_s_checkpoint_holds_both(tmp_path: Path) -> None:
    model, optimizer = trained(RULES["momentum"], 2)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, tmp_path / "last.pt")
    with jax.enable_x64(True):
        target, _, _ = nnx_side(model.state_dict())
        _, state = weight_bridge.convert_optimizer(tmp_path / "last.pt", target)
        _, wanted = weight_bridge.convert_optimizer(model, target, optimizer=optimizer)
    assert jax.tree.structure(state) == jax.tree.structure(wanted)
    assert all(map(np.array_equal, jax.tree.leaves(state), jax.tree.leaves(wanted)))


def refusal(build: Callable[[Torch], torch.optim.Optimizer], steps: int = 1, **options: Any) -> str:
    model, optimizer = trained(build, steps)
    target = nnx.eval_shape(lambda: Nnx(rngs=nnx.Rngs(0)))
    with pytest.raises(weight_bridge.WeightBridgeError) as caught:
        weight_bridge.convert_optimizer(model.state_dict(), target, **({"optimizer": optimizer.state_dict()} | options))
    return str(caught.value)


def half_stepped(model: Torch) -> torch.optim.Optimizer:
    model.norm.requires_grad_(False)
    return torch.optim.Adam(model.parameters())


@pytest.mark.parametrize(
    ("build", "options", "lines"),
    [
        (
            lambda m: torch.optim.Adam(m.parameters(), amsgrad=True),
            {},
            "group 0: amsgrad takes its maximum before bias correction, Optax after; train without it",
        ),
        (
            lambda m: torch.optim.RMSprop(m.parameters()),
            {},
            (
                "group 0: an optimizer with alpha, capturable, centered, differentiable, eps, foreach, lr, maximize, "
                "momentum, weight_decay; expected torch.optim.SGD, Adam and AdamW"
            ),
        ),
        (
            half_stepped,
            {},
            "norm.bias: has no state while others have; leave it out of the optimizer if it is frozen",
        ),
        (
            lambda m: torch.optim.Adam([{"params": m.first.parameters()}, {"params": m.last.parameters()}]),
            {},
            (
                "the optimizer has 2 groups and no names: say parameters=[names in the optimizer's order], or build it "
                "with torch's named_parameters()"
            ),
        ),
        (
            lambda m: torch.optim.Adam(m.square.parameters()),
            {},
            (
                "the optimizer has 2 parameters, 8 names were found: say parameters=[names in the optimizer's order], "
                "or source=the torch module"
            ),
        ),
        (
            lambda m: torch.optim.Adam(m.square.parameters()),
            {"parameters": ["square.bias", "square.weight"]},
            (
                "square/bias from square.bias: moments of shape (7, 7), expected (7,); name the parameters in the "
                "optimizer's order"
            ),
        ),
        (
            lambda m: torch.optim.Adam(m.parameters()),
            {"transformation": optax.sgd(0.1)},
            (
                "exp_avg of first/bias, first/kernel, last/bias, last/kernel, norm/bias, norm/scale, square/bias, "
                "square/kernel: the transformation has no mu for it"
            ),
        ),
        (
            lambda m: torch.optim.Adam(m.parameters()),
            {"transformation": optax.chain(optax.scale_by_adam(), optax.ema(0.9))},
            "state[1].ema['first']['bias']: torch's optimizer has nothing to put there",
        ),
        (lambda m: torch.optim.Adam(m.parameters()), {"optimizer": {}}, "got dict"),
    ],
)
def test_what_cannot_be_carried_is_refused(
    build: Callable[[Torch], torch.optim.Optimizer], options: dict[str, Any], lines: str
) -> None:
    assert lines in refusal(build, **options)


def test_summed_biases_are_refused() -> None:
    model = torch.nn.LSTM(INPUTS, HIDDEN)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.from_numpy(X).float())[0].sum().backward()
    optimizer.step()

    class Port(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs) -> None:
            self.cell = nnx.OptimizedLSTMCell(INPUTS, HIDDEN, rngs=rngs)

    with pytest.raises(weight_bridge.ConversionError, match="more than move elements"):
        weight_bridge.convert_optimizer(model, nnx.eval_shape(lambda: Port(rngs=nnx.Rngs(0))), optimizer=optimizer)
