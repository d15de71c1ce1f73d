"""Claims on networks as linen modules, through `nnx.bridge`: the same recipes, linen around the NNX twin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import parity
from models.networks import pairs_attention, pairs_layers, pairs_unet, pairs_vision
from models.networks.recipes import Recipe


def candidate(recipe: Recipe) -> Any:
    """Build the linen module."""
    import models.networks.jax
    from models.networks.bridge_linen import as_linen

    return as_linen(getattr(models.networks.jax, recipe.module), **recipe.arguments)


def _as_linen(pair: parity.Pair) -> parity.Pair:
    return replace(pair, name=f"{pair.name} in linen", candidates={"linen": candidate})


MLP = _as_linen(pairs_layers.MLP)
CONVOLUTION = _as_linen(pairs_layers.CONVOLUTION)
RESIDUAL = _as_linen(pairs_layers.RESIDUAL)
ATTENTION = _as_linen(pairs_attention.ATTENTION_2D)
TRANSFORMER = _as_linen(pairs_attention.TRANSFORMER)
POSITIONS = _as_linen(pairs_attention.POSITIONS)
VIT_ENCODER = _as_linen(pairs_vision.VIT_ENCODER)
VIT_DECODER = _as_linen(pairs_vision.VIT_DECODER)
ENCODER = _as_linen(pairs_vision.ENCODER)
DECODER = _as_linen(pairs_vision.DECODER)
UNET = _as_linen(pairs_unet.UNET_2D)
