"""Any drawn setting, right or wrong, is taken by both frameworks or refused by both, in the same words."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.networks import ContrastiveLearningConfig, ConvConfig, LinearConfig, MLPConfig, UNetConfig
from tests.models.networks.refused import Attempt, outcomes

QUICK = settings(max_examples=25, deadline=None, derandomize=True, database=None)
SETTINGS = {entry.name for config in (ConvConfig, UNetConfig) for entry in fields(config)} | {"num_groups"}
"""What a setting is called; messages of torch itself name it in other sentences."""
RNG = np.random.default_rng(5)


def check_agreement(attempt: Attempt, *, values: bool = False) -> None:
    """Both give the same shapes, or the same exception that says the same; torch's own words at least name the same."""
    reference, candidate = outcomes(attempt, values=values)
    assert (reference.kind, reference.shapes) == (candidate.kind, candidate.shapes), (reference, candidate)
    said, found = str(reference.refusal), str(candidate.refusal)
    assert said == found or named(said) & named(found), (reference, candidate)


def named(message: str) -> set[str]:
    """Settings and quoted values in a message."""
    return SETTINGS & set(re.findall(r"\w+", message)) | set(re.findall(r"'(\w+)'", message))


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def mostly(usual: tuple[Any, ...], wrong: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """One of the usual values, and in one of six cases a wrong one."""
    return st.integers(0, 5).flatmap(lambda n: st.sampled_from(wrong if n == 5 else usual))


@st.composite
def convolutions(draw: st.DrawFn) -> ConvConfig:
    kernel = draw(mostly((3, 1), (2, 0)))
    return ConvConfig(
        activation=draw(mostly(("ReLU", "SiGLU", "PReLU"), ("relu",))),
        kernel_size=kernel,
        stride=draw(mostly((1,), (2,))),
        padding=draw(mostly((kernel // 2,), (2,))),
        groups=draw(mostly((1, 2), (3,))),
        padding_mode=draw(mostly(("zeros", "circular"), ("mirror",))),
        dropout=draw(mostly((0.0, 0.2), (1.5, -0.1))),
        norm=draw(mostly(("none", "group", "batch"), ("layer", "nope"))),
        norm_cfg=draw(mostly(({"num_groups": 2},), ({"num_groups": 5}, {"groups": 2}, {}))),
        norm_first=draw(mostly((False,), (True,))),
        scale_factor=draw(mostly((0,), (2, -2))),
    )


@st.composite
def unets(draw: st.DrawFn) -> dict[str, Any]:
    has_attn = draw(st.booleans())
    cfg = UNetConfig(
        channels=draw(mostly(((4, 6), (4,)), ((3, 5), ()))),
        conv_cfg=draw(convolutions()),
        cond_pred_scale=draw(st.booleans()),
        nhead=draw(mostly((2, 1), (4, 5))),
        has_attn=has_attn,
        use_shuffle=draw(st.booleans()),
        use_hypernet=draw(mostly((False,), (True,))),
    )
    sizes = draw(mostly(((8, 4),), ((5, 8), (8, 1))))
    return {"cfg": cfg, "sizes": sizes}


@QUICK
@given(st.integers(1, 2), unets())
def test_unets(axes: int, drawn: dict[str, Any]) -> None:
    obs_shape = (2, *drawn["sizes"][:axes])

    def attempt(library: Any, build: Any, array: Any) -> Any:
        unet = build(f"ConditionalUnet{axes}d", 3, obs_shape, drawn["cfg"])
        unet.eval()
        return unet(array(floats(2, *obs_shape)), array(floats(2, 3)))

    check_agreement(attempt)


@QUICK
@given(
    dist=mostly(("normal", "categorical", "bernoulli"), ("poisson", "Normal")),
    n_groups=mostly((1, 2, 3), (4, 5)),
    spherical=st.booleans(),
    width=mostly((6, 12), (5,)),
    deterministic=st.booleans(),
    value=mostly((0.5,), (np.nan, np.inf)),
)
def test_distributions(
    dist: str, n_groups: int, spherical: bool, width: int, deterministic: bool, value: float
) -> None:
    x = np.full((2, width), value, np.float32)

    def attempt(library: Any, build: Any, array: Any) -> Any:
        module = build("Distribution", 6, dist, n_groups, spherical)
        return module(array(x), deterministic=deterministic)

    check_agreement(attempt, values=True)


LOSSES = st.one_of(
    st.fixed_dictionaries(
        {
            "loss": st.sampled_from(("focal_loss", "cross_entropy")),
            "shapes": mostly((((4, 5), (4,)), ((2, 3, 5), (2, 3))), (((4, 5), (3,)), ((4, 5), (4, 1)), ((5,), (1,)))),
            "target": mostly((0, 4), (5, -1)),
            "keywords": st.just({}),
        }
    ),
    st.fixed_dictionaries(
        {
            "loss": st.just("focal_loss"),
            "shapes": st.just(((4, 5), (4,))),
            "target": st.just(1),
            "keywords": mostly(({"gamma": 0}, {"gamma": 1.5}), ({"sum_dim": 5}, {"sum_dim": -4})),
        }
    ),
    st.fixed_dictionaries(
        {
            "loss": st.sampled_from(("binary_focal_loss", "charbonnier")),
            "shapes": mostly((((2, 3, 4), (2, 3, 4)),), (((2, 3, 4), (2, 3, 5)),)),
            "target": st.just(1.0),
            "keywords": mostly(({}, {"sum_dim": 1}), ({"sum_dim": 3}, {"sum_dim": -4})),
        }
    ),
)


@QUICK
@given(LOSSES)
def test_losses(drawn: dict[str, Any]) -> None:
    first, second = drawn["shapes"]
    target = np.full(second, drawn["target"], np.float32 if isinstance(drawn["target"], float) else np.int32)

    def attempt(library: Any, build: Any, array: Any) -> Any:
        return getattr(library, drawn["loss"])(array(floats(*first)), array(target), **drawn["keywords"])

    check_agreement(attempt, values=True)


@QUICK
@given(
    patch_factor=mostly((1, 2), (3, 0)),
    shape=mostly(((2, 3, 4, 6), (2, 2, 3, 4, 6)), ((2, 3, 5, 7), (4, 6))),
    matrix=mostly((None,), (2.0, -0.5, np.nan)),
    mean_batch=st.booleans(),
)
def test_frequency_loss(patch_factor: int, shape: tuple[int, ...], matrix: float | None, mean_batch: bool) -> None:
    def attempt(library: Any, build: Any, array: Any) -> Any:
        loss = library.FocalFrequencyLoss(patch_factor=patch_factor)
        given = None if matrix is None else array(np.full((1,), matrix, np.float32))
        return loss(array(floats(*shape)), array(floats(*shape)), given, mean_batch=mean_batch)

    check_agreement(attempt, values=True)


@QUICK
@given(
    kinds=st.tuples(*[st.sampled_from(("normal", "categorical", "bernoulli"))] * 2),
    weight=mostly((0.8, 0.0, 1.0), (1.5, -0.1)),
)
def test_divergences(kinds: tuple[str, str], weight: float) -> None:
    def attempt(library: Any, build: Any, array: Any) -> Any:
        made = [
            build("Distribution", 6, kind)(
                array(np.full((2, 12 if kind == "normal" else 6), 0.3, np.float32)), deterministic=True
            )
            for kind in kinds
        ]
        return library.kl_balancing(*made, weight)

    check_agreement(attempt, values=True)


@QUICK
@given(
    method=st.sampled_from(("calc_nce", "calc_sigmoid", "calc_timeseries_nce")),
    activation=mostly(("Tanh",), ("tanh",)),
    widths=mostly(((3, 4), (3, 3)), ((3, 5), (2, 4))),
    cross_entropy_like=st.booleans(),
)
def test_contrastive_losses(method: str, activation: str, widths: tuple[int, int], cross_entropy_like: bool) -> None:
    mlp = MLPConfig(4, 1, "Identity", LinearConfig(activation))
    cfg = ContrastiveLearningConfig(5, mlp, cross_entropy_like=cross_entropy_like)

    def attempt(library: Any, build: Any, array: Any) -> Any:
        loss = build("ContrastiveLearningLoss", 3, 4, cfg)
        return getattr(loss, method)(array(floats(2, 4, widths[0])), array(floats(2, 4, widths[1])))

    check_agreement(attempt)
