"""Layers: first weights, random streams, dtypes, unbatched input, and what both frameworks refuse."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest
import torch
from flax import nnx
from jax import numpy as jnp

import models.networks.jax
import models.networks.torch
from models.networks import AttentionConfig, ConvConfig, LinearConfig, MLPConfig, TransformerConfig
from models.networks.kernels_nnx import Conv2d, ConvTranspose2d, Linear
from models.networks.modules_nnx import as_rngs
from models.networks.multihead_nnx import MultiheadAttention

CONV = {"activation": "ReLU", "kernel_size": 3, "stride": 1, "padding": 1}
KEYS = [0, jax.random.key(0), jax.random.PRNGKey(0), nnx.Rngs(0)]


def both(name: str, *args, shape: tuple[int, ...], **kwargs):
    """Build and call a class in either framework; return the exceptions, None where there is none."""
    found = []
    for build, ones in (
        (lambda: getattr(models.networks.torch, name)(*args, **kwargs), torch.ones),
        (lambda: getattr(models.networks.jax, name)(*args, **kwargs, rngs=0), jnp.ones),
    ):
        try:
            build()(ones(shape))
            found.append(None)
        except Exception as refusal:  # whatever it is, it is compared below
            found.append(refusal)
    return found


@pytest.mark.parametrize("rngs", KEYS, ids=["int", "typed key", "legacy key", "Rngs"])
def test_every_form_of_rngs_gives_the_same_weights(rngs):
    cfg = MLPConfig(7, 1, "Tanh", LinearConfig("ReLU"))
    expected = models.networks.jax.MLPLayer(3, 5, cfg, rngs=nnx.Rngs(0))
    got = models.networks.jax.MLPLayer(3, 5, cfg, rngs=rngs)
    assert jnp.array_equal(got.dense[0].linear.kernel[...], expected.dense[0].linear.kernel[...])


def test_rngs_is_used_as_it_is_when_it_is_one():
    rngs = nnx.Rngs(0)
    assert as_rngs(rngs) is rngs


def test_mlp_takes_its_config_under_exactly_one_name():
    cfg = MLPConfig(7, 1, "Tanh", LinearConfig("ReLU"))
    MLPLayer = models.networks.jax.MLPLayer
    assert MLPLayer(3, 5, mlp_config=cfg, rngs=0).hidden_dim == MLPLayer(3, 5, cfg, rngs=0).hidden_dim == 7
    with pytest.raises(TypeError, match="MLPLayer: give exactly one of cfg and mlp_config, got None and None"):
        MLPLayer(3, 5, rngs=0)
    with pytest.raises(TypeError, match="exactly one of cfg and mlp_config"):
        MLPLayer(3, 5, cfg, mlp_config=cfg, rngs=0)


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda: Linear(64, 50, rngs=nnx.Rngs(0)), 64),
        (lambda: Conv2d(8, 32, 3, groups=2, rngs=nnx.Rngs(0)), 4 * 9),
        (lambda: ConvTranspose2d(32, 8, 3, groups=2, rngs=nnx.Rngs(0)), 4 * 9),
    ],
    ids=["Linear", "Conv2d", "ConvTranspose2d"],
)
def test_first_weights_are_uniform_as_torchs(layer, fan_in):
    module, bound = layer(), 1 / math.sqrt(fan_in)
    kernel = np.asarray(module.kernel[...])
    assert np.abs(kernel).max() <= bound
    assert np.abs(module.bias[...]).max() <= bound
    assert np.abs(kernel).max() > 0.98 * bound
    assert kernel.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert abs(kernel.mean()) < 0.05 * bound


def test_attention_starts_as_torchs():
    module = MultiheadAttention(32, 4, rngs=nnx.Rngs(0))
    bound = math.sqrt(6 / (4 * 32))
    assert 0.98 * bound < np.abs(module.in_proj_weight[...]).max() <= bound
    assert not np.asarray(module.in_proj_bias[...]).any()
    assert not np.asarray(module.out_proj.bias[...]).any()
    assert np.abs(module.out_proj.kernel[...]).max() <= 1 / math.sqrt(32)


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_encoder_layers_start_as_copies_of_the_prototype(framework):
    cfg = TransformerConfig(8, 2, 12, 2, output_activation="Tanh")
    if framework == "torch":
        module = models.networks.torch.TransformerLayer(3, 5, cfg)
        weights = [
            layer.linear1.weight.detach().numpy() for layer in (*module.transformer.layers, module.transformer_layer)
        ]
    else:
        module = models.networks.jax.TransformerLayer(3, 5, cfg, rngs=0)
        weights = [
            np.asarray(layer.linear1.kernel[...]) for layer in (*module.transformer.layers, module.transformer_layer)
        ]
    assert np.array_equal(weights[0], weights[1])
    assert np.array_equal(weights[0], weights[2])


def test_crrelu_is_created_in_float32_whatever_the_default():
    with jax.enable_x64(True):
        assert models.networks.jax.Activation("CRReLU").activation.lr[...].dtype == jnp.float32
        assert models.networks.jax.Activation("PReLU").activation.weight[...].dtype == jnp.float64
    assert models.networks.torch.Activation("CRReLU").activation.lr.dtype == torch.float32


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_layers_compute_in_the_dtype_of_their_arrays(dtype):
    cfg = ConvConfig(**CONV, norm="group", norm_cfg={"num_groups": 2})
    module = models.networks.jax.ConvNormActivation(3, 4, cfg, rngs=0)
    graph, state = nnx.split(module)
    module = nnx.merge(graph, jax.tree.map(lambda leaf: leaf.astype(dtype), state))
    assert module(jnp.ones((2, 3, 4, 5), dtype)).dtype == dtype


def test_dropout_of_rate_zero_is_absent_and_a_rate_above_one_refused():
    layer = models.networks.jax.LinearNormActivation(3, 5, LinearConfig("ReLU", dropout=0.0), rngs=0)
    assert not nnx.state(layer, nnx.RngState)
    torchs, ours = both("LinearNormActivation", 3, 5, LinearConfig("ReLU", dropout=1.5), shape=(2, 3))
    assert isinstance(torchs, ValueError)
    assert str(ours) == "dropout: the rate must lie between 0 and 1, got 1.5"


@pytest.mark.parametrize(("name", "shape"), [("ConvNormActivation", (3, 6, 7)), ("ConvNormActivation1d", (3, 6))])
def test_unbatched_input_is_taken(name, shape):
    module = getattr(models.networks.jax, name)(3, 5, ConvConfig(**CONV), rngs=0)
    x = jax.random.normal(jax.random.key(0), shape)
    assert jnp.allclose(module(x), module(x[None])[0], rtol=0, atol=0)
    assert both(name, 3, 5, ConvConfig(**CONV), shape=shape) == [None, None]


REFUSED = {
    "reflects more than there is": (
        "ConvNormActivation",
        {**CONV, "padding": 3, "padding_mode": "reflect"},
        (2, 4, 3, 8),
    ),
    "wraps more than there is": (
        "ConvNormActivation",
        {**CONV, "padding": 4, "padding_mode": "circular"},
        (2, 4, 3, 8),
    ),
    "kernel above the input": ("ConvNormActivation", {**CONV, "kernel_size": 5, "padding": 0}, (2, 4, 4, 8)),
    "unknown padding": ("ConvNormActivation", {**CONV, "padding_mode": "same"}, (2, 4, 3, 8)),
    "groups": ("ConvNormActivation", {**CONV, "groups": 3}, (2, 4, 3, 8)),
    "channels": ("ConvNormActivation", CONV, (2, 3, 3, 8)),
    "axes": ("ConvNormActivation", CONV, (4, 8)),
    "shuffle down odd": ("ConvNormActivation", {**CONV, "scale_factor": -2}, (2, 4, 3, 8)),
    "group norm groups": ("ConvNormActivation", {**CONV, "norm": "group", "norm_cfg": {"num_groups": 4}}, (2, 4, 3, 8)),
    "one value to normalise": ("ConvNormActivation", {**CONV, "norm": "batch"}, (1, 4, 1, 1)),
    "batch norm unbatched": ("ConvNormActivation", {**CONV, "norm": "batch"}, (4, 3, 8)),
    "output padding": ("ConvTransposeNormActivation", {**CONV, "stride": 2, "output_padding": 2}, (2, 4, 3, 8)),
    "nothing left": ("ConvTransposeNormActivation", {**CONV, "kernel_size": 1, "padding": 2}, (2, 4, 3, 8)),
    "odd length down": ("ConvNormActivation1d", {**CONV, "scale_factor": -2}, (2, 4, 7)),
}


@pytest.mark.parametrize("why", REFUSED)
def test_both_refuse(why):
    name, fields, shape = REFUSED[why]
    torchs, ours = both(name, 4, 6, ConvConfig(**fields), shape=shape)
    assert isinstance(torchs, ValueError | RuntimeError | AssertionError)
    assert isinstance(ours, ValueError | AssertionError)


def test_refusals_say_what_is_wrong():
    refusals = {
        why: str(both(name, 4, 6, ConvConfig(**fields), shape=shape)[1])
        for why, (name, fields, shape) in REFUSED.items()
    }
    assert refusals["reflects more than there is"] == (
        "Conv2d: the input's size (3, 8) is too small for kernel (3, 3), dilation 1 and reflect padding of 3"
    )
    assert refusals["groups"] == "Conv2d: 3 groups do not divide 4 input and 6 output channels"
    assert refusals["channels"] == "Conv2d: expected (B, 4, H, W), B optional, got shape (2, 3, 3, 8)"
    assert refusals["output padding"] == (
        "ConvTranspose2d: output_padding must be smaller than stride or dilation, got (2, 2), 2 and 1"
    )
    assert refusals["batch norm unbatched"] == (
        "BatchNorm: expected (B, 6, *) with 2 positional axes, got shape (6, 3, 8)"
    )


def test_attention_takes_its_numbers_from_a_config():
    for name in ("Attention1d", "Attention2d"):
        direct = getattr(models.networks.jax, name)(6, nhead=3, patch_size=2, rngs=0)
        configured = getattr(models.networks.jax, name)(6, attn_cfg=AttentionConfig(3, 2), rngs=0)
        assert (direct.nhead, direct.patch_size) == (configured.nhead, configured.patch_size) == (3, 2)


def test_modules_run_under_jit_and_vmap():
    cfg = ConvConfig(**CONV, norm="batch", dropout=0.5)
    module = models.networks.jax.ConvNormActivation(3, 4, cfg, rngs=0)
    x = jax.random.normal(jax.random.key(0), (5, 3, 4, 6))
    first, second = nnx.jit(lambda m, x: (m(x), m(x)))(module, x)
    assert not jnp.array_equal(first, second)  # dropout draws anew
    assert int(module.norm.num_batches_tracked[...]) == 2
    module.eval()
    rows = jax.vmap(lambda row: module(row[None])[0])(x)
    assert jnp.allclose(rows, module(x), atol=1e-6)
    assert int(module.norm.num_batches_tracked[...]) == 2


def test_train_mode_is_the_first():
    cfg = ConvConfig(**CONV, norm="batch", dropout=0.5)
    module = models.networks.jax.ConvNormActivation(3, 4, cfg, rngs=0)
    assert module.norm.use_running_average is False
    assert module.dropout.deterministic is False
