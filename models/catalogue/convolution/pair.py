"""The convolution family's claims. Images have one odd and one even side."""

from __future__ import annotations

from flax import nnx
from hypothesis import strategies as st

from models.catalogue.convolution import nnx as candidates
from models.catalogue.convolution import torch as references
from models.catalogue.convolution.config import CausalConfig, ConvolutionConfig
from parity import Pair, real

CONVOLUTIONS = Pair(
    name="convolution.convolutions",
    reference=references.Convolutions,
    candidates={"nnx": lambda config: candidates.Convolutions(config, rngs=nnx.Rngs(0))},
    configs=st.just(ConvolutionConfig()),
    inputs=lambda c: st.just((real(4, c.channels, 8, 9),)),
    modes=("eval",),
)

PADDED = Pair(
    name="convolution.padded",
    reference=references.Padded,
    candidates={"nnx": lambda config: candidates.Padded(config, rngs=nnx.Rngs(0))},
    configs=st.just(ConvolutionConfig()),
    inputs=lambda c: st.just((real(4, c.channels, 6, 9),)),
    modes=("eval",),
)

POOLS = Pair(
    name="convolution.pools",
    reference=lambda config: references.Pools(),
    candidates={"nnx": lambda config: candidates.Pools()},
    inputs=lambda c: st.just((real(4, 2, 15, 20),)),
    modes=("eval",),
)

WINDOW_MEAN = Pair(
    name="convolution.window_mean",
    reference=lambda config: references.WindowMean(),
    candidates={"nnx": lambda config: candidates.WindowMean()},
    inputs=lambda c: st.just((real(4, 2, 6, 9),)),
    modes=("eval",),
)

TRANSPOSED = Pair(
    name="convolution.transposed",
    reference=references.Transposed,
    candidates={"nnx": lambda config: candidates.Transposed(config, rngs=nnx.Rngs(0))},
    configs=st.just(ConvolutionConfig()),
    inputs=lambda c: st.just((real(4, c.channels, 3, 6),)),
    modes=("eval",),
)

CAUSAL = Pair(
    name="convolution.causal",
    reference=references.Causal,
    candidates={"nnx": lambda config: candidates.Causal(config, rngs=nnx.Rngs(0))},
    configs=st.just(CausalConfig()),
    inputs=lambda c: st.just((real(3, c.channels, 7),)),
    modes=("eval",),
)
