"""Every activation name: the recorded calls, and torch itself on values where implementations part."""

from __future__ import annotations

import json
import warnings

import jax
import numpy as np
import pytest
import torch
from jax import numpy as jnp

from models.networks import activations_nnx, activations_torch
from tests.models.networks.cases import GOLDEN
from tests.models.networks.replay import torch_float64

BOUND = 1e-13  # of the entry, or of 1; torch's vectorised tanh alone costs Mish 3e-14
with np.load(GOLDEN / "activations.npz") as stored:
    RECORDED = {key: stored[key] for key in stored.files}
CALLS = json.loads(str(RECORDED["calls"]))
KINKS = [-3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 20.0]
SPECIAL = np.array(
    [*KINKS, -745.0, -40.0, -20.5, -2.75, -1e-8, 1e-300, 0.25, 2.5, 5.75, 19.999, 20.001, 40.0, 700.0, 1e20, -1e20]
)
STATES = {"CRReLU": [("activation.lr", np.array(0.03))], "PReLU": [("activation.weight", np.array([0.3]))]}
ARGUMENTS = {"Threshold": {"threshold": 0.5, "value": -2.0}}
GRADIENT_IN_FLOAT32 = {"Hardsigmoid"}  # torch's own gradient uses a float32 1/6


def torch_call(name, init, x, cotangent=None, state=()):
    with torch_float64(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Implicit dimension choice")  # torch deprecates the rule that is compared
        module = activations_torch.Activation(name, **init).double().eval()
        module.load_state_dict({key: torch.tensor(value) for key, value in state})
        inputs = torch.tensor(x, requires_grad=True)
        output = module(inputs)
        output.backward(torch.ones_like(output) if cotangent is None else torch.tensor(cotangent))
        grads = {key: value.grad.numpy() for key, value in module.named_parameters()}
        return output.detach().numpy(), inputs.grad.numpy(), grads


def nnx_call(name, init, x, cotangent=None, state=()):
    with jax.enable_x64(True):
        module = activations_nnx.Activation(name, **init)
        module.eval()
        for key, value in state:
            getattr(module.activation, key.removeprefix("activation.")).set_value(jnp.asarray(value))
        graph, params = activations_nnx.nnx.split(module)

        def forward(params, x):
            return activations_nnx.nnx.merge(graph, params)(x)

        output, pullback = jax.vjp(forward, params, jnp.asarray(x))
        grads, grad = pullback(jnp.ones_like(output) if cotangent is None else jnp.asarray(cotangent))
        flat = {".".join(map(str, path)): np.asarray(v[...]) for path, v in activations_nnx.nnx.to_flat_state(grads)}
        return np.asarray(output), np.asarray(grad), flat


def assert_close(got, expected, bound=BOUND):
    assert got.shape == expected.shape
    assert np.array_equal(np.isnan(got), np.isnan(expected))
    finite = np.isfinite(expected)
    assert np.array_equal(got[~finite & ~np.isnan(got)], expected[~finite & ~np.isnan(expected)])
    off = np.abs(got[finite] - expected[finite])
    assert (off <= bound * np.maximum(1, np.abs(expected[finite]))).all(), off.max()


@pytest.mark.parametrize("run", [torch_call, nnx_call], ids=["torch", "nnx"])
@pytest.mark.parametrize("k", range(len(CALLS)), ids=[call["init"]["activation"] for call in CALLS])
def test_reproduces_the_recorded_call(k, run):
    init = dict(CALLS[k]["init"])
    which = CALLS[k]["args"][0]["input"]
    state = [(key.split("/")[2], value) for key, value in RECORDED.items() if key.startswith(f"state/{k}/")]
    x, cotangent = RECORDED[f"input/{which}"], RECORDED[f"cotangent/{k}"]
    output, grad, grads = run(init.pop("activation"), init, x, cotangent, state)
    assert_close(output, RECORDED[f"output/{k}"])
    assert_close(grad, RECORDED[f"grad_input/{k}/{which}"])
    for key, _ in state:
        assert_close(grads[key], RECORDED[f"grad/{k}/{key}"])


@pytest.mark.parametrize("name", [name for name in activations_nnx.NAMES if name != "Softmax2d"])
def test_agrees_with_torch_at_kinks_and_extremes(name):
    x = SPECIAL[: len(SPECIAL) // 2 * 2] if "GLU" in name else SPECIAL
    init, state = ARGUMENTS.get(name, {}), STATES.get(name, [])
    expected, got = torch_call(name, init, x, state=state), nnx_call(name, init, x, state=state)
    assert_close(got[0], expected[0])
    if name not in GRADIENT_IN_FLOAT32:
        assert_close(got[1], expected[1])
    for key, grad in expected[2].items():
        assert_close(got[2][key], grad)


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax", "Softmin", "Softmax2d", "L2Norm", "GLU", "SiGLU", "SwiGLU"])
@pytest.mark.parametrize("shape", [(2, 6, 4, 8), (6, 4, 8), (2, 6), (6,)])
def test_takes_torchs_axis(name, shape):
    if name == "Softmax2d" and len(shape) < 3:
        pytest.skip("Softmax2d takes images alone")
    x = np.random.default_rng(0).normal(size=shape)
    init = {"dim": -3} if len(shape) > 2 else {}
    weights = np.random.default_rng(1).normal(size=torch_call(name, init, x)[0].shape)
    expected, got = torch_call(name, init, x, weights), nnx_call(name, init, x, weights)
    assert_close(got[0], expected[0])
    assert_close(got[1], expected[1])


def test_l2_norm_at_zero_has_torchs_gradient():
    x = np.zeros((2, 3))
    expected, got = torch_call("L2Norm", {}, x), nnx_call("L2Norm", {}, x)
    assert_close(got[1], expected[1])
    assert expected[1][0, 0] == 1e12


def test_names_are_case_sensitive_and_told():
    with pytest.raises(NotImplementedError, match=r"'relu' is none of CELU, CRReLU, .*; names are case-sensitive"):
        activations_nnx.Activation("relu")
    with pytest.raises(NotImplementedError, match=r"'relu' is neither a class of torch\.nn nor one of"):
        activations_torch.Activation("relu")


def test_rrelu_draws_slopes_within_its_range_in_train_mode():
    module = activations_nnx.Activation("RReLU", rngs=0)
    x = -jnp.ones(200)
    first, second = module(x), module(x)
    assert ((-first >= 1 / 8) & (-first <= 1 / 3)).all()
    assert not jnp.array_equal(first, second)


@pytest.mark.parametrize("name", [name for name in activations_nnx.NAMES if name not in ("Softmax2d", "L2Norm")])
def test_treats_infinity_and_nan_as_torch_does(name):
    x = np.array([np.inf, -np.inf, np.nan, 1.0] * (2 if "GLU" in name else 1))
    init, state = ARGUMENTS.get(name, {}), STATES.get(name, [])
    assert_close(nnx_call(name, init, x, state=state)[0], torch_call(name, init, x, state=state)[0])
