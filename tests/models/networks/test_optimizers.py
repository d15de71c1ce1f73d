"""Optimizers: torch's rules in optax follow torch's trajectories; names, defaults and refusals."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax
import pytest
import torch
from jax import numpy as jnp

import models.networks.jax
import models.networks.torch
from models.networks.torch_rules_nnx import TORCH_RULES
from tests.models.networks.replay import torch_float64

STEPS = 30
BOUND = 1e-11  # of the way gone; measured below 1e-13
START = np.random.default_rng(4).standard_normal((3, 5))
DATA = np.random.default_rng(5).standard_normal((STEPS, 3, 5))
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in TORCH_RULES),
    *((name, {"lr": 0.03, "weight_decay": 0.1}) for name in TORCH_RULES),
    *((name, {"betas": (0.7, 0.95), "eps": 1e-3}) for name in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam")),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-2, "momentum": 0.8}),
    ("RMSprop", {"centered": True, "eps": 1e-2}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-2}),
    ("Adadelta", {"rho": 0.8, "eps": 1e-2}),
    ("NAdam", {"momentum_decay": 0.1}),
]


def loss(x: Any, data: Any) -> Any:
    """A curved function whose gradients change sign and size."""
    return ((x * x - data) ** 2).sum() / 8 + (x * data).sum()


def torch_path(name: str, options: dict[str, Any]) -> np.ndarray:
    x = torch.tensor(START, requires_grad=True)
    path = []
    with torch_float64():  # NAdam keeps its product of momenta in the default dtype
        optimizer = models.networks.torch.get_optimizer([x], name, **options)
        for data in DATA:
            optimizer.zero_grad()
            loss(x, torch.tensor(data)).backward()
            optimizer.step()
            path.append(x.detach().numpy().copy())
    return np.stack(path)


def optax_default_path(name: str) -> np.ndarray:
    with jax.enable_x64(True):
        return optax_path(models.networks.jax.get_optimizer(name, lr=1e-2))


def optax_path(optimizer: optax.GradientTransformation) -> np.ndarray:
    @jax.jit
    def walk(x: Any, data: Any) -> Any:
        def step(carry: Any, data: Any) -> Any:
            x, state = carry
            updates, state = optimizer.update(jax.grad(loss)(x, data), state, x)
            x = optax.apply_updates(x, updates)
            return (x, state), x

        return jax.lax.scan(step, (x, optimizer.init(x)), data)[1]

    return np.asarray(walk(jnp.asarray(START), jnp.asarray(DATA)))


def deviation(path: np.ndarray, reference: np.ndarray) -> float:
    return float(np.abs(path - reference).max() / np.abs(reference - START).max())


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=[f"{n}-{','.join(o)}" for n, o in OPTIONS])
def test_torchs_rules_follow_torchs_trajectory(name, options, record_property):
    reference = torch_path(name, options)
    with jax.enable_x64(True):
        optimizer = models.networks.jax.get_optimizer(name, defaults="torch", **options)
        off = deviation(optax_path(optimizer), reference)
    record_property("deviation", off)
    assert off < BOUND


@pytest.mark.parametrize("name", ["AdamW", "RMSprop", "Adagrad", "NAdam"])
def test_optaxs_defaults_are_another_trajectory(name):
    """What `defaults="torch"` is for: the check above would notice optax's own rules."""
    assert deviation(optax_default_path(name), torch_path(name, {"lr": 1e-2})) > 1e-3


@pytest.mark.parametrize("name", ["Adam", "SGD", "Adamax", "Adadelta"])
def test_optaxs_rules_agree_where_the_defaults_do(name):
    assert deviation(optax_default_path(name), torch_path(name, {"lr": 1e-2})) < BOUND


@pytest.mark.parametrize(("name", "function"), [("Adam", optax.adam), ("lamb", optax.lamb), ("LARS", optax.lars)])
def test_names_of_both_libraries_give_optaxs_optimizer(name, function):
    params, gradient = jnp.ones(3), jnp.array([1.0, -2.0, 0.5])
    found, expected = models.networks.jax.get_optimizer(name, learning_rate=0.1), function(0.1)
    updates = [opt.update(gradient, opt.init(params), params)[0] for opt in (found, expected)]
    assert jnp.array_equal(*updates)


def test_a_schedule_drives_torchs_rule():
    schedule = optax.linear_schedule(1.0, 0.0, 10)
    optimizer = models.networks.jax.get_optimizer("SGD", defaults="torch", lr=schedule)
    state = optimizer.init(jnp.ones(()))
    first, state = optimizer.update(jnp.ones(()), state, jnp.ones(()))
    second, _ = optimizer.update(jnp.ones(()), state, jnp.ones(()))
    assert [float(first), float(second)] == pytest.approx([-1.0, -0.9])


@pytest.mark.parametrize("name", ["adam_", "adamW", "apply_updates", "ADAM"])
def test_unknown_names_are_refused_by_optax(name):
    with pytest.raises(NotImplementedError) as refusal:
        models.networks.jax.get_optimizer(name, learning_rate=0.1)
    assert str(refusal.value).startswith(
        f"get_optimizer: {name!r} is neither an optimizer of optax nor one of AdaBelief,"
    )
    assert str(refusal.value).endswith("names are case-sensitive")


def test_other_arguments_are_refused():
    get = models.networks.jax.get_optimizer
    with pytest.raises(TypeError, match="lr and learning_rate are one argument"):
        get("Adam", lr=0.1, learning_rate=0.1)
    with pytest.raises(ValueError, match="""defaults must be "optax" or "torch", got 'jax'"""):
        get("Adam", defaults="jax", lr=0.1)
    with pytest.raises(NotImplementedError, match=r"with torch's defaults there are Adadelta, .*, got 'Lion'"):
        get("Lion", defaults="torch")


def test_torch_finds_its_own_optimizers_and_refuses_other_names():
    x = [torch.zeros(3, requires_grad=True)]
    assert isinstance(models.networks.torch.get_optimizer(x, "RAdam", lr=0.1), torch.optim.RAdam)
    for name in ("adam", "lr_scheduler", "NoSuch"):
        with pytest.raises(NotImplementedError) as refusal:
            models.networks.torch.get_optimizer(x, name)
        assert str(refusal.value) == (
            f"get_optimizer: {name!r} is no optimizer of schedulefree, torch.optim, pytorch_optimizer "
            "(those that are installed); names are case-sensitive"
        )


def test_torch_prefers_schedulefree():
    library = pytest.importorskip("schedulefree", reason="an optional source of optimizers")
    x = [torch.zeros(3, requires_grad=True)]
    assert isinstance(models.networks.torch.get_optimizer(x, "AdamWScheduleFree"), library.AdamWScheduleFree)
