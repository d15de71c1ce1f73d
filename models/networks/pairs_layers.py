"""Claims on the layers: dense, convolutional, transposed, residual, and the activations."""

from __future__ import annotations

from hypothesis import strategies as st

from models.networks.config import ConvConfig, LinearConfig, MLPConfig
from models.networks.recipes import (
    BATCH_NORMS,
    PADDING_MODES,
    UNGATED,
    ConvLayer,
    Recipe,
    Recipes,
    claim,
    conv_layers,
    group_norms,
    linear_configs,
    mlp_configs,
)


def _linear(input_dim: int, output_dim: int, cfg: LinearConfig) -> Recipe:
    return Recipe("LinearNormActivation", {"input_dim": input_dim, "output_dim": output_dim, "cfg": cfg}, ((3, 2, 5),))


def _mlp(output_dim: int, cfg: MLPConfig) -> Recipe:
    return Recipe("MLPLayer", {"input_dim": 5, "output_dim": output_dim, "cfg": cfg}, ((4, 5),))


def _convolution(layer: ConvLayer) -> Recipe:
    channels = {"in_channels": layer.in_channels, "out_channels": layer.out_channels}
    module = "ConvNormActivation" if len(layer.sizes) == 2 else "ConvNormActivation1d"
    return Recipe(module, {**channels, "cfg": layer.cfg}, ((3, layer.in_channels, *layer.sizes),))


@st.composite
def _transposed(draw: st.DrawFn, axes: int) -> Recipe:
    """A transposed convolution; the fields that it ignores are drawn too."""
    groups = draw(st.sampled_from((1, 2)))
    activation = draw(st.sampled_from(("ReLU", "GELU", "SiGLU", "PReLU")))
    outputs = draw(st.sampled_from((6, 4)))
    stride, dilation = draw(st.sampled_from(((2, 1), (1, 1), (3, 2), (1, 2))))
    norm = draw(st.sampled_from(("none", "batch", "group")))
    norm_cfgs = {"group": group_norms(outputs), "batch": BATCH_NORMS}
    cfg = ConvConfig(
        activation=activation,
        kernel_size=draw(st.sampled_from((3, 4, 2))),
        stride=stride,
        padding=draw(st.sampled_from((1, 0))),
        output_padding=draw(st.integers(0, max(stride, dilation) - 1)),
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(PADDING_MODES)),
        dropout=draw(st.sampled_from((0.0, 0.3))),
        norm=norm,
        norm_cfg=draw(norm_cfgs[norm]) if norm in norm_cfgs else {},
        norm_first=draw(st.booleans()),
        scale_factor=draw(st.sampled_from((0, 2))),
    )
    suffix = "1d" if axes == 1 else ""
    arguments = {"in_channels": 4, "out_channels": outputs, "cfg": cfg}
    return Recipe(f"ConvTransposeNormActivation{suffix}", arguments, ((3, 4, *(5, 3)[:axes]),))


@st.composite
def _residual(draw: st.DrawFn) -> Recipe:
    norm = draw(st.sampled_from(("none", "group", "batch")))
    arguments = {
        "in_features": 6,
        "kernel_size": draw(st.sampled_from((3, 1, 5))),
        "activation": draw(st.sampled_from(UNGATED)),
        "norm": norm,
        "norm_cfg": {"num_groups": 2} if norm == "group" else None,
        "dropout": draw(st.sampled_from((0.0, 0.3))),
        "padding_mode": draw(st.sampled_from(PADDING_MODES)),
    }
    return Recipe("ResidualBlock", arguments, ((3, 6, 4, 7),))


_NAMES = (
    "ReLU", "GELU", "SiLU", "Tanh", "Sigmoid", "ELU", "CELU", "SELU", "LeakyReLU", "PReLU", "RReLU", "Softplus", "Mish",
    "Hardtanh", "ReLU6", "Hardswish", "Softshrink", "Hardshrink", "LogSigmoid", "Softsign", "Tanhshrink", "Identity",
    "GLU", "SiGLU", "SwiGLU", "TanhExp", "REReLU", "CRReLU", "L2Norm", "Softmax2d",
)  # fmt: skip


def _activations() -> Recipes:
    """Every name over an image, as a convolution calls it; torch's Hardsigmoid has a float32 gradient, see below."""
    return st.sampled_from(_NAMES).map(
        lambda name: Recipe("Activation", {"activation": name, "dim": -3}, ((2, 6, 3, 5),))
    )


ACTIVATION = claim("Activation", _activations())
HARDSIGMOID = claim(
    "Activation Hardsigmoid",
    st.just(Recipe("Activation", {"activation": "Hardsigmoid"}, ((2, 6),))),
    checks=("forward",),
    exempt=dict.fromkeys(
        ("input_grad", "special", "dtypes", "second_order", "transforms"),
        "torch multiplies the gradient by a float32 1/6",
    ),
)
LINEAR = claim(
    "LinearNormActivation",
    st.builds(_linear, st.just(5), st.sampled_from((3, 7)), linear_configs()),
)
MLP = claim("MLPLayer", st.builds(_mlp, st.sampled_from((3, 2)), mlp_configs()))
CONVOLUTION = claim("ConvNormActivation", conv_layers(axes=2).map(_convolution))
CONVOLUTION_1D = claim("ConvNormActivation1d", conv_layers(axes=1).map(_convolution))
TRANSPOSED = claim("ConvTransposeNormActivation", _transposed(axes=2))
TRANSPOSED_1D = claim("ConvTransposeNormActivation1d", _transposed(axes=1))
RESIDUAL = claim("ResidualBlock", _residual())
