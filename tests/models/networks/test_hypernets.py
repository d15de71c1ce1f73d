"""Hypernetworks: order and shapes of what they make, encodings, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from flax import nnx
from jax import numpy as jnp

import models.networks.jax
import models.networks.torch
from models.networks import LinearConfig, MLPConfig
from tests.models.networks.both_sides import SIDES, array
from tests.models.networks.live_cases import live_case
from tests.models.networks.replay import run_nnx, worst_errors

SHAPES = {"w": (2, 3), "b": (2,), "a": ()}


def build(library: Any, *args: Any, **kwargs: Any) -> Any:
    streams = {"rngs": 0} if library is models.networks.jax else {}
    return library.HyperNet(*args, **kwargs, **streams)


@pytest.mark.parametrize("encoding", [None, "cos|sin", "z|1-z"])
@pytest.mark.parametrize("fc_cfg", [None, MLPConfig(5, 2, "Tanh", LinearConfig("ELU"))])
def test_twins_agree(encoding, fc_cfg):
    z = np.random.default_rng(1).uniform(size=(4, 6 if encoding is None else 3))
    arguments = {"input_dim": 6, "output_params": SHAPES, "fc_cfg": fc_cfg, "encoding": encoding}
    case = live_case("HyperNet", arguments, z)
    errors = worst_errors(case, run_nnx(case))
    assert max(errors.values()) < 1e-12, errors


@pytest.mark.parametrize("library", SIDES)
def test_tensors_come_in_the_mappings_own_order(library):
    net = build(library, 3, SHAPES)
    assert net.flat_output_size() == 9
    assert net.output_offsets() == {"w": (0, 6), "b": (6, 2), "a": (8, 1)}
    made = net.unflatten_output(array(library, np.arange(18.0).reshape(2, 9)))
    assert list(made) == ["w", "b", "a"]
    assert np.array_equal(made["w"][1], [[9, 10, 11], [12, 13, 14]])
    assert np.array_equal(made["b"][1], [15, 16])
    assert np.array_equal(made["a"], [8, 17])


@pytest.mark.parametrize("library", SIDES)
def test_a_tensor_stands_for_its_shape(library):
    assert build(library, 3, {"w": array(library, np.zeros((2, 5))), "b": [4]}).output_shapes == {
        "w": (2, 5),
        "b": (4,),
    }


@pytest.mark.parametrize("library", SIDES)
def test_inputs_outside_the_unit_interval_are_warned_of(library):
    net = build(library, 2, {"w": (2,)}, encoding="z|1-z")
    with pytest.warns(UserWarning, match=r"HyperNet: the encoding 'z\|1-z' is meant for inputs in \[0, 1\]"):
        net(array(library, [[1.5]]))


@pytest.mark.parametrize("library", SIDES)
def test_calls_are_refused(library):
    with pytest.raises(ValueError) as encoding:
        build(library, 2, {"w": (2,)}, encoding="sin")(array(library, [[0.5, 0.5]]))
    assert str(encoding.value) == "HyperNet: encoding must be one of (None, 'cos|sin', 'z|1-z'), got 'sin'"
    with pytest.raises(ValueError) as axes:
        build(library, 2, {"w": (2,)})(array(library, [0.5, 0.5]))
    assert str(axes.value) == "HyperNet: expected an input with two axes, (B, Z), got shape (2,)"


def test_the_twin_takes_either_name_of_the_shapes_and_keeps_them_out_of_its_state():
    net = models.networks.jax.HyperNet(3, output_shapes=SHAPES, rngs=0)
    assert [path for path, _ in nnx.to_flat_state(nnx.state(net))] == [("backbone", "bias"), ("backbone", "kernel")]
    assert nnx.jit(lambda net, z: net(z))(net, jnp.ones((2, 3)))["w"].shape == (2, 2, 3)
    for given in ({}, {"output_shapes": SHAPES, "output_params": SHAPES}):
        with pytest.raises(TypeError, match="HyperNet: give exactly one of output_shapes and output_params"):
            models.networks.jax.HyperNet(3, **given, rngs=0)


def test_no_mapping_is_changed_by_torch():
    shapes = {"w": torch.zeros(2, 3)}
    models.networks.torch.HyperNet(3, shapes)
    assert list(shapes) == ["w"]
