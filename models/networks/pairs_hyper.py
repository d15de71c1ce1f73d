"""Claims on hypernetworks and contrastive losses."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import parity
from models.networks.calls import MethodCall, method_claim
from models.networks.config import ContrastiveLearningConfig, MLPConfig
from models.networks.pairs_unet import hyper_mlps
from models.networks.recipes import linear_configs

_SHAPES: tuple[dict[str, tuple[int, ...]], ...] = (
    {"weight": (5, 3), "bias": (5,)},
    {"b": (), "a": (2, 1, 3)},
    {"scale": (7,)},
)


@st.composite
def _hypernet(draw: st.DrawFn) -> MethodCall:
    """Any encoding, of numbers in [0, 1], for which they are meant, or of any where there is none."""
    encoding = draw(st.sampled_from((None, "cos|sin", "z|1-z")))
    arguments = {
        "input_dim": 3 if encoding is None else 6,
        "output_params": draw(st.sampled_from(_SHAPES)),
        "fc_cfg": draw(hyper_mlps()),
        "encoding": encoding,
    }
    return MethodCall("HyperNet", arguments, (parity.real(4, 3) if encoding is None else parity.unit(4, 3),))


@st.composite
def _contrastive(draw: st.DrawFn, method: str) -> MethodCall:
    """One network for both features or two, with or without the embeddings themselves."""
    width1, width2 = draw(st.sampled_from(((3, 4), (3, 3))))
    eval_func = MLPConfig(7, draw(st.sampled_from((1, 2))), "Identity", draw(linear_configs(("ReLU", "Tanh", "SiLU"))))
    cfg = ContrastiveLearningConfig(5, eval_func, cross_entropy_like=draw(st.booleans()))
    batch = draw(st.sampled_from(((2, 4), (1, 5))))
    inputs = tuple(parity.real(*batch, width) for width in (width1, width2))
    keywords: dict[str, Any] = {"return_emb": draw(st.booleans())}
    if method == "calc_sigmoid":
        keywords |= draw(st.sampled_from(({}, {"temperature": 0.7, "bias": -0.3})))
    if method == "calc_timeseries_nce":
        keywords |= draw(st.sampled_from(_WINDOWS))
    arguments = {"dim_input1": width1, "dim_input2": width2, "cfg": cfg}
    return MethodCall("ContrastiveLearningLoss", arguments, inputs, method, keywords)


_WINDOWS: tuple[dict[str, Any], ...] = (
    {"positive_range_self": 2, "positive_range_tgt": 1, "clamp_windows": True},
    {"positive_range_self": 0, "positive_range_tgt": 3},  # as long as no window is empty, they wrap around alike
    {"positive_range_self": 1, "clamp_windows": True},
    {},
)

HYPERNET = method_claim("HyperNet", _hypernet())
NCE = method_claim("ContrastiveLearningLoss.calc_nce", _contrastive("calc_nce"))
SIGMOID = method_claim("ContrastiveLearningLoss.calc_sigmoid", _contrastive("calc_sigmoid"))
TIMESERIES = method_claim("ContrastiveLearningLoss.calc_timeseries_nce", _contrastive("calc_timeseries_nce"))
