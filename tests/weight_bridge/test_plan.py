"""Plans: stable text, closed both ways, values forth and back, gradients back, ties."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import weight_bridge
from tests.weight_bridge.ported import NnxPort, TorchPort, linen_port, nnx_port
from weight_bridge import Mapping, PlanError, Rule
from weight_bridge.joint import Sum
from weight_bridge.mapping import dumps, loads
from weight_bridge.tree import open_target

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in TorchPort().double().state_dict().items()}


@pytest.mark.parametrize("library", ["nnx", "linen"])
def test_the_text_of_a_plan_is_stable(library: str, state: dict[str, np.ndarray]) -> None:
    target = {"nnx": nnx_port, "linen": linen_port}[library]
    found = weight_bridge.plan(state, target)
    shuffled = dict(sorted(state.items(), key=lambda item: hash(item[0])))
    assert str(found) + "\n" == (GOLDEN / f"plan_{library}.txt").read_text()
    assert str(weight_bridge.plan(shuffled, target)) == str(found)


@pytest.mark.parametrize("target", [nnx_port, linen_port], ids=["nnx", "linen"])
def test_with_types_on_both_sides_everything_is_proved(target: object, state: dict[str, np.ndarray]) -> None:
    found = weight_bridge.plan(state, target, source=TorchPort, strict=True)
    assert found.counts() == {"proved": 16}
    assert [entry.name for entry in found.ignored] == ["convs.1.num_batches_tracked"]


def test_a_plan_is_frozen_and_says_all_in_json(state: dict[str, np.ndarray]) -> None:
    found = weight_bridge.plan(state, nnx_port)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.steps = ()  # type: ignore[misc]  # what is tested
    record = json.loads(found.to_json())
    assert [step["targets"] for step in record["steps"]] == [list(step.targets) for step in found.steps]
    assert record["ignored"][0]["name"] == "convs.1.num_batches_tracked"


def test_a_saved_plan_gives_the_same_plan(state: dict[str, np.ndarray]) -> None:
    found = weight_bridge.plan(state, nnx_port)
    again = weight_bridge.plan(state, nnx_port, mapping=loads(dumps(found.to_mapping())), strict=True)
    assert [(s.sources, s.targets, s.transform) for s in again.steps] == [
        (s.sources, s.targets, s.transform) for s in found.steps
    ]
    assert again.ignored == found.ignored
    assert again.counts() == {"written": 16}


def test_values_go_forth_and_back(state: dict[str, np.ndarray]) -> None:
    found = weight_bridge.plan(state, nnx_port)
    there = found.apply(state)
    back = found.inverse(there)
    assert {**back, "convs.1.num_batches_tracked": state["convs.1.num_batches_tracked"]}.keys() == state.keys()
    assert all(back[name].tobytes() == state[name].tobytes() for name in back)


def test_arrays_that_were_not_planned_are_listed(state: dict[str, np.ndarray]) -> None:
    found = weight_bridge.plan(state, nnx_port)
    wrong = {**state, "temporal": np.zeros((2, 2))}
    del wrong["temporal_bias"]
    with pytest.raises(PlanError) as refused:
        found.apply(wrong)
    assert str(refused.value).splitlines() == [
        "the arrays are not those that were planned",
        "  - temporal_bias: no such tensor given",
        "  - temporal: planned shape [3, 25], got [2, 2]",
    ]
    with pytest.raises(PlanError, match="gradients of leaves that the plan does not fill"):
        found.pullback({"nowhere": np.zeros(3)})


def test_gradients_of_a_sum_go_to_both_and_missing_ones_stay_away() -> None:
    names = {"a": np.ones(3), "b": np.ones(3), "n": np.zeros(2, np.int64)}
    rules = Mapping((Rule(("a", "b"), ("bias",), Sum()),))
    found = weight_bridge.plan(names, {"bias": np.zeros(3), "n": np.zeros(2, np.int64)}, mapping=rules)
    pulled = found.pullback({"bias": np.arange(3.0)})
    assert {name: value.tolist() for name, value in pulled.items()} == {"a": [0, 1, 2], "b": [0, 1, 2]}
    assert [value.tolist() for value in found.inverse({"bias": np.arange(3.0), "n": names["n"]}).values()] == [
        [0, 1, 2],
        [0, 0, 0],
        [0, 0],
    ]


def tied_state() -> dict[str, torch.Tensor]:
    table = torch.randn(5, 3, dtype=torch.float64)
    return {"embed.weight": table, "head.weight": table}


def test_tied_tensors_fill_two_leaves_and_their_gradients_add() -> None:
    target = {"embed": {"embedding": np.zeros((5, 3))}, "head": {"kernel": np.zeros((3, 5))}}
    found = weight_bridge.plan(tied_state(), target)
    assert found.ties == (("embed.weight", "head.weight"),)
    pulled = found.pullback({"embed/embedding": np.ones((5, 3)), "head/kernel": np.full((3, 5), 10.0)})
    assert pulled["embed.weight"].tolist() == pulled["head.weight"].tolist() == np.full((5, 3), 11.0).tolist()


def test_a_tied_tensor_without_a_leaf_of_its_own_is_ignored_and_restored() -> None:
    state = tied_state()
    found = weight_bridge.plan(state, {"embed": {"embedding": np.zeros((5, 3))}})
    assert [(entry.name, entry.reason) for entry in found.ignored] == [
        ("head.weight", "shares its storage with embed.weight")
    ]
    back = found.inverse(found.apply(state))
    assert np.array_equal(back["head.weight"], state["head.weight"].numpy())
    pulled = found.pullback({"embed/embedding": np.ones((5, 3))})
    assert set(pulled) == {"embed.weight", "head.weight"}
    again = weight_bridge.plan(state, {"embed": {"embedding": np.zeros((5, 3))}}, mapping=found.to_mapping())
    assert set(again.inverse(again.apply(state))) == set(state)


class Shared(nnx.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        self.first = nnx.Linear(3, 5, rngs=nnx.Rngs(0))
        self.again = self.first


def test_a_layer_shared_in_the_target_takes_equal_copies_and_refuses_others() -> None:
    one = {"weight": np.arange(15.0).reshape(5, 3), "bias": np.arange(5.0)}
    state = {f"{name}.{label}": array.copy() for name in ("first", "again") for label, array in one.items()}
    found = weight_bridge.plan(state, Shared)
    assert [step.targets for step in found.steps] == [("again/bias",), ("again/kernel",)]
    assert [(entry.name, entry.same_as, entry.must_equal) for entry in found.ignored] == [
        ("first.weight", "again.weight", True),
        ("first.bias", "again.bias", True),
    ]
    model = weight_bridge.load(Shared(), state)
    assert np.array_equal(np.asarray(model.first.kernel.get_value()), one["weight"].T)
    state["first.bias"][0] = 7
    with pytest.raises(weight_bridge.ConversionError) as refused:
        weight_bridge.convert(state, Shared)
    assert refused.value.problems == ("first.bias and again.bias differ, but the target shares one leaf between them",)


def test_the_other_copy_of_a_shared_layer_alone_is_enough() -> None:
    state = {"first.weight": np.zeros((5, 3)), "first.bias": np.zeros(5)}
    assert weight_bridge.plan(state, Shared).steps[0].sources == ("first.bias",)


def test_random_streams_are_no_leaves_and_unfilled_leaves_are_seen(state: dict[str, np.ndarray]) -> None:
    found = weight_bridge.plan(state, nnx_port)
    paths = [path for step in found.steps for path in step.targets]
    assert not [path for path in paths if "rngs" in path]
    less = {name: array for name, array in state.items() if name != "hypernet.0.bias"}
    with pytest.raises(PlanError, match="hypernet/0/bias float32\\[7\\]: no tensor fills it"):
        weight_bridge.plan(less, nnx_port)
    abstract = nnx.eval_shape(nnx_port)
    with pytest.raises(weight_bridge.ConversionError) as refused:
        weight_bridge.load(abstract, less, allow_missing=["hypernet/0/bias"])
    assert refused.value.problems == ("hypernet/0/bias",)


def test_load_fills_a_live_model_with_memory_of_its_own(state: dict[str, np.ndarray]) -> None:
    mine = {name: array.copy() for name, array in state.items()}
    model = weight_bridge.load(NnxPort(rngs=nnx.Rngs(0)), mine)
    mine["temporal"][:] = 0
    value = model.temporal.get_value()
    assert value.dtype == jnp.float64
    assert np.array_equal(np.asarray(value), state["temporal"])
    assert isinstance(model.dropout.rngs.key.get_value(), jax.Array)


def test_load_says_what_it_cannot_fill() -> None:
    with pytest.raises(weight_bridge.UsageError) as refused:
        weight_bridge.load({"a": np.zeros(3)}, {"a": np.zeros(3)})
    assert str(refused.value) == "load fills NNX and Equinox modules, got dict; convert returns variables for others"


def test_convert_takes_a_module_and_returns_what_linen_takes() -> None:
    torch_model = TorchPort()
    variables = weight_bridge.convert(torch_model, linen_port)
    kernel = variables["params"]["hypernet"]["layers_3"]["kernel"]
    assert np.array_equal(np.asarray(kernel), torch_model.hypernet[3].weight.detach().numpy().T)
    assert set(variables) == {"params", "batch_stats", "buffers"}


def test_building_a_target_spends_no_parameter_memory() -> None:
    huge = open_target(lambda: nnx.Linear(2**20, 2**20, rngs=nnx.Rngs(0)))
    assert {leaf.path: leaf.spec.shape for leaf in huge.leaves} == {"kernel": (2**20, 2**20), "bias": (2**20,)}


def test_targets_that_cannot_be_built_say_so() -> None:
    def broken() -> nnx.Module:
        raise ValueError("no such size")

    with pytest.raises(weight_bridge.TargetError) as refused:
        weight_bridge.plan({"a": np.zeros(3)}, broken)
    assert str(refused.value) == "target broken: cannot be built: ValueError: no such size"
    for target, message in (
        ("models", "target 'models': expected package.module:callable, or structure.json"),
        ("no_such_module_here:x", "target 'no_such_module_here:x': cannot import no_such_module_here"),
        ("math:nothing", "target 'math:nothing': module 'math' has no attribute 'nothing'"),
        ("nowhere/structure.json", "target nowhere/structure.json: no such file"),
        (3, "target int: expected an NNX or Equinox module"),
        (linen_port()[0], "target LinenPort: a linen module alone has no shapes; expected (module, example_inputs)"),
    ):
        with pytest.raises(weight_bridge.UsageError) as wrong:
            weight_bridge.plan({"a": np.zeros(3)}, target)
        assert message in str(wrong.value)


def test_a_structure_that_cannot_be_used_lists_its_entries(tmp_path: Path) -> None:
    entries = [
        {"path": "a", "shape": [3], "dtype": "float32"},
        {"path": "a", "shape": [3], "dtype": "float32"},
        {"path": "b", "shape": [-3], "dtype": "float32"},
        {"path": "c", "shape": [3], "dtype": "float13"},
        {"path": "d", "shape": [3]},
    ]
    (tmp_path / "structure.json").write_text(json.dumps(entries))
    with pytest.raises(weight_bridge.TargetError) as refused:
        weight_bridge.plan({"a": np.zeros(3)}, tmp_path / "structure.json")
    expected = "expected path, shape and dtype, got "
    assert refused.value.problems == (
        f"entry 2: {expected}{json.dumps(entries[2])} (path must be text and shape a list of sizes)",
        f"entry 3: {expected}{json.dumps(entries[3])} ('float13')",
        f"entry 4: {expected}{json.dumps(entries[4])} ('dtype')",
        "a: listed 2 times",
    )
