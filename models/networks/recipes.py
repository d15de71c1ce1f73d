"""What the networks' claims are made of: constructor arguments that serve both frameworks, and how to draw them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

import parity
from models.networks.config import ConvConfig, LinearConfig, MLPConfig
from models.networks.sizes import conv_out, scaled_width

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
ACTIVATIONS = ("GELU", "ReLU", "SiLU", "Tanh", "ELU", "PReLU", "CRReLU", "TanhExp", "Mish", "LeakyReLU", "SiGLU", "GLU")
UNGATED = tuple(name for name in ACTIVATIONS if "GLU" not in name)


@dataclass(frozen=True)
class Recipe:
    """One network and what to feed it.

    Args:
      module: name of the class, the same in `models.networks.torch` and `models.networks.jax`.
      arguments: of its constructor, but for `rngs`.
      shapes: of the inputs.
    """

    module: str
    arguments: dict[str, Any]
    shapes: tuple[tuple[int, ...], ...]


Recipes = st.SearchStrategy[Recipe]


def reference(recipe: Recipe) -> Any:
    """Build the torch module."""
    import models.networks.torch

    return getattr(models.networks.torch, recipe.module)(**recipe.arguments)


def candidate(recipe: Recipe) -> Any:
    """Build the NNX module."""
    import models.networks.jax

    return getattr(models.networks.jax, recipe.module)(**recipe.arguments, rngs=0)


def claim(name: str, recipes: Recipes, **parts: Any) -> parity.Pair:
    """Claim that both frameworks' modules agree.

    Args:
      name: of the pair.
      recipes: what is drawn.
      **parts: further fields of the pair, or others in place of the usual ones.
    """
    usual: dict[str, Any] = {
        "name": f"networks {name}",
        "reference": reference,
        "candidates": {"nnx": candidate},
        "configs": recipes,
        "inputs": lambda recipe: st.just(tuple(parity.real(*shape) for shape in recipe.shapes)),
    }
    return parity.Pair(**{**usual, **parts})


@st.composite
def linear_configs(draw: st.DrawFn, activations: tuple[str, ...] = ACTIVATIONS) -> LinearConfig:
    """Draw a dense layer."""
    norm = draw(st.sampled_from(("none", "layer", "rms")))
    norm_cfg = {} if norm == "none" else draw(st.sampled_from(({}, {"eps": 1e-3}, {"elementwise_affine": False})))
    return LinearConfig(
        activation=draw(st.sampled_from(activations)),
        norm=norm,
        norm_cfg=norm_cfg,
        dropout=draw(st.sampled_from((0.0, 0.3))),
        norm_first=draw(st.booleans()),
        bias=draw(st.booleans()),
    )


def mlp_configs() -> st.SearchStrategy[MLPConfig]:
    """Draw a stack of dense layers."""
    return st.builds(
        MLPConfig,
        hidden_dim=st.sampled_from((7, 11)),
        n_layers=st.sampled_from((2, 1, 0)),
        output_activation=st.sampled_from(("Identity", "Tanh", "SiGLU")),
        linear_cfg=linear_configs(),
    )


@dataclass(frozen=True)
class ConvLayer:
    """A drawn convolutional layer: its channels, and inputs' sizes that it takes."""

    in_channels: int
    out_channels: int
    cfg: ConvConfig
    sizes: tuple[int, ...]


def group_norms(width: int) -> st.SearchStrategy[dict[str, Any]]:
    """Draw keywords of a group norm over `width` channels."""
    groups = [n for n in (2, 3, 1) if width % n == 0]
    return st.fixed_dictionaries({"num_groups": st.sampled_from(groups)}, optional={"eps": st.just(1e-3)})


BATCH_NORMS = st.sampled_from(({}, {"momentum": 0.3, "eps": 1e-2}, {"momentum": None}, {"track_running_stats": False}))


@st.composite
def conv_layers(draw: st.DrawFn, axes: int = 2, scales: tuple[int, ...] = (0, 2, -2)) -> ConvLayer:
    """Draw a convolutional layer that runs, over one or two axes."""
    groups = draw(st.sampled_from((1, 2)))
    inputs, outputs = draw(st.sampled_from(((4, 6), (6, 4), (4, 4), (3, 5) if groups == 1 else (2, 8))))
    activation = draw(st.sampled_from(ACTIVATIONS))
    scale = draw(st.sampled_from(scales))
    width = scaled_width(outputs * (2 if "GLU" in activation else 1), scale, axes)
    norm_first = draw(st.booleans())
    norms: list[Any] = ["none", *(["group"] if axes == 2 or scale == 0 or norm_first else [])]
    norms += ["batch"] if (inputs == width if norm_first else axes == 2 or scale == 0) else []
    norm = draw(st.sampled_from(norms))
    norm_cfgs = {"group": group_norms(inputs if norm_first else max(width, 1)), "batch": BATCH_NORMS}
    cfg = ConvConfig(
        activation=activation,
        kernel_size=draw(st.sampled_from((3, 2, 1, 4))),
        stride=draw(st.sampled_from((1, 2, 3))),
        padding=draw(st.sampled_from((1, 0, 2))),
        dilation=draw(st.sampled_from((1, 2))),
        groups=groups if width % groups == 0 else 1,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(PADDING_MODES)),
        dropout=draw(st.sampled_from((0.0, 0.3))),
        norm=norm,
        norm_cfg=draw(norm_cfgs[norm]) if norm in norm_cfgs else {},
        norm_first=norm_first,
        scale_factor=scale,
    )
    taken = [n for n in range(4, 17) if _fits(n, cfg)]
    sizes = draw(st.lists(st.sampled_from(taken), min_size=axes, max_size=axes, unique=len(taken) > 1))
    return ConvLayer(inputs, outputs, cfg, tuple(sizes))


def _fits(n: int, cfg: ConvConfig) -> bool:
    """Say whether the layer takes the size n: enough cells, and a result that the shuffle divides."""
    out = conv_out(n, cfg.padding, cfg.kernel_size, cfg.stride, cfg.dilation)
    return out >= 2 and out % max(-cfg.scale_factor, 1) == 0


def built(build: Callable[..., Recipe], *strategies: st.SearchStrategy[Any]) -> Recipes:
    """Draw recipes by calling a function with drawn arguments.

    Example:
      >>> recipes = built(lambda n: Recipe("PatchEmbed", {"emb_dim": n}, ((2, 3, 4, 6),)), st.just(5))
    """
    return st.builds(build, *strategies)
