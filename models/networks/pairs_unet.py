"""Claims on U-Nets and what they are made of: halving, doubling, blocks that a condition modulates."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import parity
from models.networks.config import ConvConfig, MLPConfig, UNetConfig
from models.networks.recipes import ACTIVATIONS, PADDING_MODES, Recipe, claim, linear_configs

COND = 3
_KEEPING = ((3, 1, 1), (5, 2, 1), (3, 2, 2), (1, 0, 1))  # kernel size, padding and dilation that keep the size
_BATCH_NORMS = st.sampled_from(({}, {"momentum": 0.3, "eps": 1e-2}))


@st.composite
def keeping_convs(draw: st.DrawFn, *, generated: bool = False, groups: tuple[int, ...] = (1, 2)) -> ConvConfig:
    """Draw a convolution that keeps the size of its input, of at least 3 cells; all its channels are even.

    Args:
      draw: of Hypothesis.
      generated: a hypernetwork makes its weights: no norm, no dropout.
      groups: of channels.
    """
    kernel, padding, dilation = draw(st.sampled_from(_KEEPING))
    norm: Any = "none" if generated else draw(st.sampled_from(("none", "group", "batch")))
    norm_cfgs = {"group": st.sampled_from(({"num_groups": 2}, {"num_groups": 1, "eps": 1e-3})), "batch": _BATCH_NORMS}
    return ConvConfig(
        activation=draw(st.sampled_from(ACTIVATIONS)),
        kernel_size=kernel,
        stride=1,
        padding=padding,
        dilation=dilation,
        groups=draw(st.sampled_from(groups)),
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(PADDING_MODES)),
        dropout=0.0 if generated else draw(st.sampled_from((0.0, 0.2))),
        norm=norm,
        norm_cfg=draw(norm_cfgs[norm]) if norm in norm_cfgs else {},
        norm_first=norm != "batch" and draw(st.booleans()),  # a batch norm is as wide as the output
    )


def hyper_mlps() -> st.SearchStrategy[MLPConfig | None]:
    """Draw a hypernetwork's layers, or None for a single linear map."""
    layers = st.builds(
        MLPConfig,
        hidden_dim=st.just(5),
        n_layers=st.sampled_from((1, 2)),
        output_activation=st.sampled_from(("Identity", "Tanh")),
        linear_cfg=linear_configs(("Tanh", "SiLU")),
    )
    return st.one_of(st.none(), layers)


@st.composite
def unets(draw: st.DrawFn, *, hyper: bool = False) -> UNetConfig:
    """Draw a U-Net of one to three levels."""
    return UNetConfig(
        channels=draw(st.sampled_from(((4,), (4, 6), (2, 4, 6)))),
        conv_cfg=draw(keeping_convs(generated=hyper)),
        cond_pred_scale=draw(st.booleans()),
        nhead=draw(st.sampled_from((2, 1))),
        has_attn=draw(st.booleans()),
        use_shuffle=draw(st.booleans()),
        use_hypernet=hyper,
        hyper_mlp_cfg=draw(hyper_mlps()) if hyper else None,
    )


@st.composite
def _unet(draw: st.DrawFn, axes: int, configs: st.SearchStrategy[UNetConfig]) -> Recipe:
    """A U-Net whose deepest level has odd or even sizes, its input with one or two leading axes."""
    cfg = draw(configs)
    deepest = draw(st.sampled_from(((3, 4), (4, 3), (5, 3)))) if axes == 2 else (draw(st.sampled_from((3, 4, 5))),)
    obs_shape = (2, *(size * 2 ** (len(cfg.channels) - 1) for size in deepest))
    batch = draw(st.sampled_from(((3,), (2, 2))))
    arguments = {"feature_dim": COND, "obs_shape": obs_shape, "cfg": cfg}
    return Recipe(f"ConditionalUnet{axes}d", arguments, ((*batch, *obs_shape), (*batch, COND)))


@st.composite
def _block(draw: st.DrawFn, axes: int, *, hyper: bool) -> Recipe:
    """A block that changes the channels or not."""
    inputs, outputs = draw(st.sampled_from(((2, 4), (4, 4), (6, 2))))
    arguments: dict[str, Any] = {"in_channels": inputs, "out_channels": outputs, "cond_dim": COND}
    arguments["conv_cfg"] = draw(keeping_convs(generated=hyper))
    if hyper:
        arguments["hyper_mlp_cfg"] = draw(hyper_mlps())
    else:
        arguments["cond_predict_scale"] = draw(st.booleans())
    kind = "HyperConditionalResidualBlock" if hyper else "ConditionalResidualBlock"
    return Recipe(f"{kind}{axes}d", arguments, ((3, inputs, *(5, 4)[:axes]), (3, COND)))


def _resampling(module: str, axes: int) -> st.SearchStrategy[Recipe]:
    """Halving or doubling; strided convolutions take odd sizes too, shuffles do not."""

    def recipe(shuffle: bool, sizes: tuple[int, int]) -> Recipe:
        even = shuffle and module == "Downsample"
        shape = (2, 3, *((2 * (size // 2) if even else size) for size in sizes[:axes]))
        return Recipe(f"{module}{axes}d", {"dim": 3, "use_shuffle": shuffle}, (shape,))

    return st.builds(recipe, st.booleans(), st.sampled_from(((4, 6), (5, 7), (7, 4))))


UNET_1D = claim("ConditionalUnet1d", _unet(1, unets()))
UNET_2D = claim("ConditionalUnet2d", _unet(2, unets()))
UNET_HYPER = claim(
    "ConditionalUnet1d with a hypernetwork",
    _unet(1, unets(hyper=True)),
    # Weights grow with the condition, and so do rounding errors, from layer to layer: none ten times as large.
    inputs=lambda recipe: st.just(
        tuple(parity.real(*s, profiles=("normal", "small", "offset")) for s in recipe.shapes)
    ),
    modes=("eval",),  # nothing in it depends on the mode: it takes neither norms nor, in training, dropout
)
BLOCK_1D = claim("ConditionalResidualBlock1d", _block(1, hyper=False))
BLOCK_2D = claim("ConditionalResidualBlock2d", _block(2, hyper=False))
_OVERFLOW = {"special": "a generated kernel times its input overflows in another order where values are huge"}
HYPER_BLOCK_1D = claim("HyperConditionalResidualBlock1d", _block(1, hyper=True), exempt=_OVERFLOW)
HYPER_BLOCK_2D = claim("HyperConditionalResidualBlock2d", _block(2, hyper=True), exempt=_OVERFLOW)
DOWNSAMPLE_1D = claim("Downsample1d", _resampling("Downsample", 1))
DOWNSAMPLE_2D = claim("Downsample2d", _resampling("Downsample", 2))
UPSAMPLE_1D = claim("Upsample1d", _resampling("Upsample", 1))
UPSAMPLE_2D = claim("Upsample2d", _resampling("Upsample", 2))
