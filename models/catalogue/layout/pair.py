"""The layout family's claims."""

from __future__ import annotations

from flax import nnx
from hypothesis import strategies as st

from models.catalogue.layout import nnx as candidates
from models.catalogue.layout import torch as references
from models.catalogue.layout.config import HeadsConfig, ImageConfig, PixelsConfig
from parity import Input, Pair, real

IMAGES = Pair(
    name="layout.images",
    reference=references.Images,
    candidates={"nnx": lambda config: candidates.Images(config, rngs=nnx.Rngs(0))},
    configs=st.just(ImageConfig()),
    inputs=lambda c: st.just((real(3, c.channels, c.height, c.length),)),
    modes=("eval",),
)

HEADS = Pair(
    name="layout.heads",
    reference=references.Heads,
    candidates={"nnx": lambda config: candidates.Heads(config, rngs=nnx.Rngs(0))},
    configs=st.just(HeadsConfig()),
    inputs=lambda c: st.just((real(3, 4, c.width),)),
    modes=("eval",),
)

TILE = Pair(
    name="layout.tile",
    reference=references.Tile,
    candidates={"nnx": candidates.Tile},
    configs=st.just(HeadsConfig()),
    inputs=lambda c: st.just((real(2, 3, c.width),)),
    modes=("eval",),
)


def _pixels(config: PixelsConfig) -> st.SearchStrategy[tuple[Input, ...]]:
    return st.just((real(5, config.channels * config.upscale**2, 3, 4),))


PIXELS = Pair(
    name="layout.pixels",
    reference=references.Pixels,
    candidates={"nnx": lambda config: candidates.Pixels(config, rngs=nnx.Rngs(0))},
    configs=st.just(PixelsConfig()),
    inputs=_pixels,
    modes=("eval",),
)

ROWS = Pair(
    name="layout.rows",
    reference=lambda config: references.Rows(),
    candidates={"nnx": lambda config: candidates.Rows()},
    inputs=lambda c: st.just((real(7, 7),)),
    modes=("eval",),
)
