"""Every layer of the table: converted weights give torch's output in float64, and come back bit for bit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import weight_bridge
from tests.weight_bridge.layers import ROWS, Row

TOLERANCE = 1e-12  # relative to the largest entry: the project's figure for one layer in float64

TRAINED = {name: row for name, row in ROWS.items() if list(row.torch().parameters())}


def torch_side(row: Row) -> tuple[torch.nn.Module, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """A layer with no parameter at its initial constant, an input, and the output."""
    rng = np.random.default_rng(0)
    layer = row.torch().double().eval()
    for tensor in [*layer.parameters(), *layer.buffers()]:
        if tensor.dtype == torch.float64:
            tensor.data = torch.from_numpy(rng.uniform(0.5, 1.5, tensor.shape))
    x = row.input(rng)
    with torch.no_grad():
        y = layer(torch.from_numpy(x)).numpy()
    return layer, {name: tensor.numpy() for name, tensor in layer.state_dict().items()}, x, y


def assert_same(found: Any, wanted: np.ndarray) -> None:
    found = np.asarray(found)
    assert found.dtype == np.float64
    assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


def assert_round_trip(plan: weight_bridge.Plan, state: dict[str, np.ndarray]) -> None:
    back = plan.inverse(plan.apply(state))
    assert {*back, *(entry.name for entry in plan.ignored)} == set(state)
    assert all(back[name].tobytes() == state[name].tobytes() for name in back)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_torch_to_nnx(row: Row) -> None:
    layer, state, x, y = torch_side(row)
    with jax.enable_x64(True):
        model = row.nnx(nnx.Rngs(0))
        plan = weight_bridge.plan(state, model, source=layer, strict=True)
        filled = weight_bridge.load(model, state, source=layer)
        assert_same(filled(jnp.asarray(row.to_jax(x))), row.to_jax(y))
    assert_round_trip(plan, state)


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.linen], ids=[n for n in ROWS if ROWS[n].linen])
def test_torch_to_linen(row: Row) -> None:
    layer, state, x, y = torch_side(row)
    assert row.linen is not None
    with jax.enable_x64(True):
        module, inputs = row.linen(), jnp.asarray(row.to_jax(x))
        plan = weight_bridge.plan(state, (module, inputs), source=layer, strict=True)
        variables = weight_bridge.convert(state, lambda: (module, inputs), source=layer)
        assert_same(module.apply(variables, inputs), row.to_jax(y))
    assert_round_trip(plan, state)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_target_type_alone_gives_the_same_plan(row: Row) -> None:
    layer, state, _, _ = torch_side(row)
    with jax.enable_x64(True):
        model = row.nnx(nnx.Rngs(0))
        alone, both = weight_bridge.plan(state, model), weight_bridge.plan(state, model, source=layer)
    assert [step.transform for step in alone.steps] == [step.transform for step in both.steps]


@pytest.mark.parametrize("row", TRAINED.values(), ids=TRAINED)
def test_gradients_pull_back_to_torch_s_own(row: Row) -> None:
    layer, state, x, y = torch_side(row)
    cotangent = np.random.default_rng(1).standard_normal(y.shape)
    given = torch.from_numpy(x)
    layer(given).backward(torch.from_numpy(cotangent))
    wanted = {name: tensor.grad.numpy() for name, tensor in layer.named_parameters() if tensor.grad is not None}
    with jax.enable_x64(True):
        model = weight_bridge.load(row.nnx(nnx.Rngs(0)), state, source=layer)
        weights, inputs = jnp.asarray(row.to_jax(cotangent)), jnp.asarray(row.to_jax(x))
        gradients = nnx.grad(lambda module: (module(inputs) * weights).sum())(model)
        flat = {"/".join(map(str, path)): leaf.get_value() for path, leaf in nnx.to_flat_state(gradients)}
        found = weight_bridge.plan(state, model, source=layer).pullback({p: np.asarray(g) for p, g in flat.items()})
    assert set(found) == set(wanted)
    for name, gradient in wanted.items():
        padded = isinstance(layer, torch.nn.Embedding)  # torch gives the padding row no gradient
        assert_same(found[name][padded:], gradient[padded:])


def test_groups_of_a_transposed_convolution_are_refused() -> None:
    layer = torch.nn.ConvTranspose2d(6, 10, (2, 3), groups=2)
    target = nnx.ConvTranspose(6, 10, (2, 3), rngs=nnx.Rngs(0))
    with pytest.raises(weight_bridge.PlanError) as refused:
        weight_bridge.plan(layer, target)
    assert refused.value.problems[0] == (
        "weight: torch.ConvTranspose2d has groups=2; Flax's ConvTranspose has no groups"
    )


def test_layers_of_different_kinds_do_not_correspond() -> None:
    with pytest.raises(weight_bridge.PlanError) as refused:
        weight_bridge.plan(torch.nn.Embedding(5, 3), nnx.Linear(3, 5, use_bias=False, rngs=nnx.Rngs(0)))
    assert refused.value.problems == ("kernel: part of linear (nnx.Linear), weight of embedding (torch.Embedding)",)
