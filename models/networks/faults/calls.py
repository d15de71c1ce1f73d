"""Single calls of losses, distributions and optimizers: what their mistakes are put into."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

import parity
from models.networks.calls import FunctionCall, MethodCall
from models.networks.config import ContrastiveLearningConfig, LinearConfig, MLPConfig, SoftmaxTransConfig
from models.networks.pairs_distributions import DETERMINISTIC, GIVEN_NOISE, KL_BALANCING, KL_DIVERGENCE, Bits, OneHot
from models.networks.pairs_hyper import NCE, SIGMOID
from models.networks.pairs_losses import (
    BINARY_FOCAL,
    CHARBONNIER,
    CODE,
    CROSS_ENTROPY,
    FOCAL,
    FOCAL_FREQUENCY,
    GUMBEL,
    SOFT_CROSS_ENTROPY,
)

FREQUENCY: dict[str, Any] = {"loss_weight": 1.0, "alpha": 1.0, "patch_factor": 2, "batch_matrix": False}
"""Settings of the frequency loss."""

CODE_CONFIG = SoftmaxTransConfig(vector=3, sigma=0.7)
"""The grid of the code."""


def _normal(*shape: int) -> parity.Input:
    return parity.real(*shape, profiles=("normal",))


def _one(pair: parity.Pair, call: FunctionCall | MethodCall, **parts: Any) -> parity.Pair:
    """A claim's single call, in evaluation mode."""
    return replace(pair, name=f"{pair.name}, one call", configs=st.just(call), modes=("eval",), **parts)


def _function(pair: parity.Pair, *inputs: parity.Input, **keywords: Any) -> parity.Pair:
    return _one(pair, FunctionCall(keywords, inputs))


def _distribution(kind: str, width: int, noise: parity.Input | None, **options: Any) -> parity.Pair:
    arguments = {"in_dim": 6, "dist": kind, "n_groups": 2, "spherical": options.pop("spherical", False)}
    x, named = _normal(3, width), ("noise",) if noise is not None else ()
    given = (x,) if noise is None else (x, noise)
    keywords = {"deterministic": noise is None, **options}
    pair = DETERMINISTIC if noise is None else GIVEN_NOISE
    return _one(pair, MethodCall("Distribution", arguments, given, keywords=keywords, named=named))


NORMAL = _distribution("normal", 12, _normal(3, 6))
CATEGORICAL = _distribution("categorical", 6, OneHot((3, 2, 3)), inv_tmp=0.7)
BERNOULLI = _distribution("bernoulli", 6, Bits((3, 2, 3)), inv_tmp=0.7)
SPHERICAL = _distribution("bernoulli", 6, Bits((3, 2, 3)), spherical=True)
LIKELIEST = _distribution("categorical", 6, None)

_POSITIVE = replace(_normal(3, 2, 5), kind="positive")
DIVERGENCE = _function(
    KL_DIVERGENCE, _normal(3, 2, 5), _POSITIVE, _normal(3, 2, 5), _POSITIVE, kind="normal", weight=None
)
BALANCED = _function(KL_BALANCING, *(_normal(3, 2, 5),) * 2, kind="categorical", weight=0.8)

FOCUSED = _function(FOCAL, _normal(4, 3, 5), parity.tokens(4, 3, vocabulary=5), gamma=2.0, sum_dim=-1)
BITS = _one(
    BINARY_FOCAL,
    FunctionCall({"gamma": 0.0, "sum_dim": -1}, (parity.real(4, 3, 5, profiles=("normal", "large")), Bits((4, 3, 5)))),
    checks=("forward", "special"),
)
IMAGES = _function(CHARBONNIER, _normal(2, 3, 4, 5), _normal(2, 3, 4, 5), epsilon=0.1, alpha=1, sum_dim=None)
CLASSES = _function(CROSS_ENTROPY, _normal(3, 4, 4), parity.tokens(3, 4, vocabulary=4), dim=1)
SOFT_CLASSES = _function(SOFT_CROSS_ENTROPY, _normal(3, 4, 5), _normal(3, 4, 5), dim=-1)
SPECTRA = _function(FOCAL_FREQUENCY, _normal(2, 3, 4, 6), _normal(2, 3, 4, 6), settings=FREQUENCY, mean_batch=False)
NOISY = _function(GUMBEL, _normal(3, 4, 5), _normal(3, 4, 5), dim=-1, temperature=0.3)
CODES = _function(CODE, _normal(2, 3), cfg=CODE_CONFIG)

_CONTRAST = ContrastiveLearningConfig(5, MLPConfig(7, 1, "Identity", LinearConfig("Tanh")))


def _contrast(pair: parity.Pair, method: str, other: int, **parts: Any) -> parity.Pair:
    arguments = {"dim_input1": 3, "dim_input2": other, "cfg": _CONTRAST}
    inputs = (_normal(2, 4, 3), _normal(2, 4, other))
    return _one(pair, MethodCall("ContrastiveLearningLoss", arguments, inputs, method), **parts)


CONTRASTED = _contrast(NCE, "calc_nce", 4)
SHARED = _contrast(NCE, "calc_nce", 3, checks=("param_grad", "trajectory"))
JUDGED = _contrast(SIGMOID, "calc_sigmoid", 4)
