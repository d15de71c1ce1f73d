"""Small networks of one configuration each, fed with ordinary values: what mistakes are put into."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import parity
from models.catalogue.inputs import chosen, normal, shifted
from models.networks.config import (
    AdaptiveAveragePoolingConfig,
    ConvConfig,
    ConvNetConfig,
    LinearConfig,
    MLPConfig,
    ResNetConfig,
    SpatialSoftmaxConfig,
    TransformerConfig,
    UNetConfig,
    ViTConfig,
)
from models.networks.pairs_layers import HARDSIGMOID
from models.networks.recipes import Recipe, claim
from parity.optimizers import Optimizers
from parity.pair import DEFAULT_CHECKS

IMAGE = (2, 4, 6)
COND = 3


def small(name: str, module: str, arguments: dict[str, Any], *inputs: Any, **parts: Any) -> parity.Pair:
    """Claim one network in evaluation mode.

    Args:
      name: of the pair, after "small".
      module: name of the class.
      arguments: of its constructor.
      *inputs: shapes of ordinary values, or inputs.
      **parts: of the pair.
    """
    given = tuple(parity.real(*one, profiles=("normal",)) if isinstance(one, tuple) else one for one in inputs)
    recipe = Recipe(module, arguments, tuple(one.shape for one in given))
    return claim(f"small {name}", st.just(recipe), **{"modes": ("eval",), "inputs": lambda _: st.just(given), **parts})


def _dense(name: str, *, checks: tuple[str, ...] = DEFAULT_CHECKS, **fields: Any) -> parity.Pair:
    arguments = {"input_dim": 5, "output_dim": 5, "cfg": LinearConfig(**fields)}
    return small(name, "LinearNormActivation", arguments, (5, 5), checks=checks)


def _convolution(name: str, size: tuple[int, ...], **fields: Any) -> parity.Pair:
    parts = {name: fields.pop(name) for name in ("modes", "checks", "profiles") if name in fields}
    profiles = parts.pop("profiles", ("normal",))
    channels = {"in_channels": 4, "out_channels": fields.pop("out_channels", 4)}
    usual: dict[str, Any] = {"activation": "Identity", "kernel_size": 3, "stride": 1, "padding": 1}
    arguments = {**channels, "cfg": ConvConfig(**{**usual, **fields})}
    suffix = "1d" if len(size) == 1 else ""
    return small(name, f"ConvNormActivation{suffix}", arguments, parity.real(3, 4, *size, profiles=profiles), **parts)


def _activation(name: str, *, edge: bool = False, **options: Any) -> parity.Pair:
    """An activation on ordinary values, and at the edge on those that random draws do not hit."""
    x = parity.real(2, 6, 3, 5, profiles=("normal", "large") if edge else ("normal",))
    checks = ("forward", "input_grad", *(("special",) if edge else ()))
    return small(f"Activation {name}", "Activation", {"activation": name, **options}, x, checks=checks)


DENSE = _dense("dense layer", activation="GELU", norm="layer")
FAR = small(
    *("dense layer far from 0", "LinearNormActivation"),
    {"input_dim": 5, "output_dim": 5, "cfg": LinearConfig("Tanh", norm="layer", norm_first=True)},
    chosen(5, 5, normal=normal, shifted=shifted),
)
NARROWED = _dense("dense layer's dtypes", activation="Tanh", checks=("dtypes",))
NORM_FIRST = _dense("dense layer, norm first", activation="SiLU", norm="layer", norm_first=True)
ROOT_MEAN_SQUARE = _dense("dense layer, root mean square", activation="Tanh", norm="rms")
WITHOUT_BIAS = _dense("dense layer without bias", activation="Tanh", bias=False)
DROPPED = small(
    *("dropout", "MLPLayer"),
    {"input_dim": 5, "output_dim": 4, "cfg": MLPConfig(7, 1, "Tanh", LinearConfig("ReLU", dropout=0.3))},
    (4, 5),
    modes=("train",),
    checks=("forward", "randomness"),
)
FRESH = small(
    *("fresh weights", "MLPLayer"),
    {"input_dim": 16, "output_dim": 24, "cfg": MLPConfig(32, 1, "PReLU", LinearConfig("PReLU"))},
    (4, 16),
    checks=("initial",),
)

_TRAINING: dict[str, dict[str, Any]] = {
    "AdamW": {},
    "RMSprop": {},
    "Adagrad": {},
    "NAdam": {},
    "SGD": {"momentum": 0.9, "nesterov": True},
}


def _trained(name: str, **settings: Any) -> parity.Pair:
    """A layer trained by the networks' own optimizers on both sides."""

    def reference(parameters: Any, rate: float) -> Any:
        from models.networks.torch import get_optimizer

        return get_optimizer(parameters, name, lr=rate, **settings)

    def candidate(rate: float) -> Any:
        from models.networks.jax import get_optimizer

        return get_optimizer(name, defaults="torch", lr=rate, **settings)

    arguments = {"input_dim": 5, "output_dim": 4, "cfg": LinearConfig("Tanh")}
    optimizers = (Optimizers(name, reference, candidate),)
    return small(
        f"layer under {name}",
        "LinearNormActivation",
        arguments,
        (4, 5),
        checks=("trajectory",),
        optimizers=optimizers,
    )


TRAINED = {name: _trained(name, **settings) for name, settings in _TRAINING.items()}
"""By optimizer."""

STRIDED = _convolution("strided convolution", (4, 6), stride=2)
DROPPED_IMAGE = _convolution("dropped image", (4, 5), dropout=0.3, modes=("train",), checks=("forward", "randomness"))
REFLECTED = _convolution("reflected convolution", (5, 4), padding_mode="reflect")
CIRCULAR = _convolution("circular convolution", (5, 4), padding_mode="circular", bias=False)
DILATED = _convolution("dilated convolution", (5, 7), padding=2, dilation=2, groups=2)
GROUP = _convolution("group norm", (4, 5), kernel_size=1, padding=0, norm="group", norm_cfg={"num_groups": 2})
ONE_GROUP = _convolution(
    "norm of one group", (4, 5), kernel_size=1, padding=0, norm="group", norm_cfg={"num_groups": 1}
)
BATCH = _convolution("batch norm", (4, 5), kernel_size=1, padding=0, norm="batch")
LEARNING = _convolution(
    "batch norm in training", (4, 5), kernel_size=1, padding=0, norm="batch", modes=("train",), checks=("buffers",)
)
CUMULATIVE = _convolution(
    "cumulative batch norm",
    (4, 5),
    kernel_size=1,
    padding=0,
    norm="batch",
    norm_cfg={"momentum": None},
    modes=("train",),
    checks=("buffers",),
)
SHUFFLED = _convolution("pixel shuffle", (2, 3), activation="SiGLU", scale_factor=2)
UNSHUFFLED = _convolution("pixel unshuffle", (4, 6), out_channels=8, scale_factor=-2)
SHUFFLED_STEPS = _convolution("shuffled steps", (5,), scale_factor=2)
UNSHUFFLED_STEPS = _convolution("unshuffled steps", (6,), out_channels=6, scale_factor=-2)
TRANSPOSED = small(
    *("transposed convolution", "ConvTransposeNormActivation"),
    {
        "in_channels": 4,
        "out_channels": 4,
        "cfg": ConvConfig("Identity", 3, 2, 1, output_padding=1, groups=2),
    },
    (3, 4, 5, 3),
)

GATED = _activation("GLU", dim=-3)
REPARAMETRISED = _activation("REReLU")
SLOPES = _activation("PReLU", num_parameters=6)
EXPONENTIAL = _activation("ELU", alpha=0.5)
LEAKY = _activation("LeakyReLU")
SOFT = _activation("Softplus")
SOFTMAX = _activation("Softmax")
SIGMOID = small(
    *("Activation Hardsigmoid", "Activation", {"activation": "Hardsigmoid"}, (2, 6)),
    checks=("forward",),
    exempt=HARDSIGMOID.exempt,
)
RECTIFIED = _activation("ReLU", edge=True)
LIMITED = _activation("ReLU6", edge=True)
LOG_SIGMOID = _activation("LogSigmoid", edge=True)
SOFTMAX_2D = _activation("Softmax2d", edge=True)
LOG_SOFTMAX = _activation("LogSoftmax", edge=True, dim=1)
UNIT = _activation("L2Norm", edge=True)

_TRANSFORMER = TransformerConfig(6, 3, 7, 2, dropout=0.2, output_activation="Identity")
TRANSFORMER = small(
    *("transformer", "TransformerLayer"), {"input_dim": 6, "output_dim": None, "cfg": _TRANSFORMER}, (2, 4, 6)
)
DROPPED_ATTENTION = small(
    *("transformer in training", "TransformerLayer"),
    {"input_dim": 6, "output_dim": None, "cfg": _TRANSFORMER},
    (2, 4, 6),
    modes=("train",),
    checks=("forward",),
)
ATTENTION = small("attention", "Attention1d", {"channels": 6, "nhead": 2, "patch_size": 2}, (2, 6, 4))
_TABLE = {"d_model": 6, "dropout": 0.0, "max_len": 7}
POSITIONS = small("positions", "PositionalEncoding", _TABLE, (2, 5, 6))
POSITIONS_NARROWED = small("positions' dtypes", "PositionalEncoding", _TABLE, (2, 5, 6), checks=("dtypes",))
PATCHES = small("patches", "PatchEmbed", {"emb_dim": 4, "patch_size": 2, "obs_shape": IMAGE}, (3, *IMAGE))
_VIT = ViTConfig(2, TransformerConfig(6, 3, 7, 1, dropout=0.0))
VISION = small("ViT encoder", "ViT", {"in_shape": IMAGE, "cfg": _VIT}, (3, *IMAGE))
DRAWING = small("ViT decoder", "ViT", {"in_shape": (6,), "cfg": _VIT, "obs_shape": IMAGE}, (3, 6))
SPATIAL = small("spatial softmax", "SpatialSoftmax", {"cfg": SpatialSoftmaxConfig(0.7)}, (2, 3, 4, 5))
STRAIGHT = small(
    "argmax of positions", "SpatialSoftmax", {"cfg": SpatialSoftmaxConfig(0.7, is_argmax=True)}, (2, 3, 4, 5)
)

_HALVING = ConvConfig("Tanh", 3, 2, 1)
_PLAIN = {"feature_dim": 5, "obs_shape": IMAGE, "backbone_cfg": ConvNetConfig((4,), (_HALVING,))}
FLATTENED = small("encoder", "Encoder", {**_PLAIN, "fc_cfg": LinearConfig("Tanh")}, (3, *IMAGE))
POOLED = small(
    *("pooled encoder", "Encoder"),
    {
        "feature_dim": 5,
        "obs_shape": (2, 5, 7),
        "backbone_cfg": ConvNetConfig((4,), (ConvConfig("Tanh", 3, 1, 1),)),
        "fc_cfg": AdaptiveAveragePoolingConfig((2, 3)),
    },
    (3, 2, 5, 7),
)
DECODER = small(
    *("decoder", "Decoder"),
    {
        "feature_dim": 5,
        "obs_shape": (2, 8, 12),
        "backbone_cfg": ConvNetConfig((4,), (_HALVING,), init_channel=3),
        "fc_cfg": LinearConfig("Tanh"),
    },
    (3, 5),
)
RESIDUAL = small(
    *("residual network", "ResNetPixUnshuffle"),
    {"obs_shape": (3, 4, 6), "cfg": ResNetConfig(4, 3, 3, "Tanh", "Tanh", n_res_blocks=2, n_scaling=1)},
    (2, 3, 4, 6),
)
_KEEPING = ConvConfig("Tanh", 3, 1, 1)
_BLOCK = {"in_channels": 4, "out_channels": 4, "cond_dim": COND, "conv_cfg": _KEEPING}
MODULATED = small(
    *("modulated block", "ConditionalResidualBlock2d"), {**_BLOCK, "cond_predict_scale": True}, (3, 4, 3, 2), (3, COND)
)
GENERATED = small("generated block", "HyperConditionalResidualBlock1d", _BLOCK, (3, 4, 5), (3, COND))
UNET = small(
    *("U-Net", "ConditionalUnet1d"),
    {"feature_dim": COND, "obs_shape": (2, 6), "cfg": UNetConfig((4, 4), _KEEPING)},
    *((3, 2, 6), (3, COND)),
)
TENSORS = small(
    *("hypernetwork", "HyperNet"),
    {"input_dim": 6, "output_params": {"weight": (3, 2), "bias": (3,)}, "encoding": "cos|sin"},
    parity.unit(4, 3),
)
