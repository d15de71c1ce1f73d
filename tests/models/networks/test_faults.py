"""Mistakes of ports are caught in the networks as well: those that any model may have, and those of networks alone."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

import parity
from models.networks import (
    AttentionConfig,
    ConvConfig,
    ConvNetConfig,
    LinearConfig,
    MLPConfig,
    TransformerConfig,
    UNetConfig,
    ViTConfig,
)
from models.networks.faults import FAULTS
from models.networks.recipes import Recipe, claim
from parity.faults.generic import GENERIC
from parity.faults.run import run

KNOWN = {fault.id: fault for fault in (*FAULTS, *GENERIC)}
DENSE = LinearConfig("GELU", norm="layer", dropout=0.3)
CONV = ConvConfig("GELU", 3, 1, 1, norm="group", norm_cfg={"num_groups": 2}, dropout=0.2)
BATCH = ConvConfig("ReLU", 3, 2, 1, norm="batch")
VIT = ViTConfig(2, TransformerConfig(8, 2, 13, 1, dropout=0.2))
IMAGE = (2, 4, 6)


def one(name: str, module: str, arguments: dict[str, object], *shapes: tuple[int, ...]) -> parity.Pair:
    """The claim on one network, on ordinary values: one example shows each of these mistakes."""
    inputs = tuple(parity.real(*shape, profiles=("normal",)) for shape in shapes)
    return claim(name, st.just(Recipe(module, arguments, shapes)), inputs=lambda _: st.just(inputs))


MLP = one("MLP", "MLPLayer", {"input_dim": 5, "output_dim": 4, "cfg": MLPConfig(7, 2, "Tanh", DENSE)}, (4, 5))
CONVOLUTION = one("convolution", "ConvNormActivation", {"in_channels": 4, "out_channels": 4, "cfg": CONV}, (3, 4, 4, 6))
UNET = one(
    *("U-Net", "ConditionalUnet2d"),
    {"feature_dim": 3, "obs_shape": IMAGE, "cfg": UNetConfig((4,), CONV, nhead=2, has_attn=True)},
    *((3, *IMAGE), (3, 3)),
)
ENCODER = one(
    *("encoder", "Encoder"),
    {
        "feature_dim": 5,
        "obs_shape": IMAGE,
        "backbone_cfg": ConvNetConfig((4, 6), (BATCH, BATCH), AttentionConfig(2, 1)),
        "fc_cfg": DENSE,
    },
    (3, *IMAGE),
)
VISION = one("ViT", "ViT", {"in_shape": IMAGE, "cfg": VIT}, (3, *IMAGE))
DECODER = one(
    *("decoder", "Decoder"),
    {"feature_dim": 5, "obs_shape": (2, 8, 12), "backbone_cfg": ConvNetConfig((6, 4), (BATCH, BATCH)), "fc_cfg": DENSE},
    (3, 5),
)
TABLE: dict[str, tuple[parity.Pair, tuple[str, ...]]] = {
    "MLP": (
        MLP,
        (
            "any-linear-square-untransposed",
            "any-norm-epsilon",
            "any-dropout-keep-vs-drop",
            "any-f32-island-in-f64",
            "network-gelu-tanh",
        ),
    ),
    "convolution": (CONVOLUTION, ("any-conv-kernel-io-swap", "any-scale-bias-or-stats-swap", "any-bias-twice")),
    "U-Net": (UNET, ("any-conv-kernel-hw-swap",)),
    "encoder": (ENCODER, ("any-bn-momentum-inverted", "any-bias-dropped")),
    "ViT": (VISION, ("any-conversion-downcast", "any-stop-gradient-extra", "network-positions-in-values")),
    "decoder": (DECODER, ("network-transposed-unflipped",)),
}


@pytest.mark.parametrize("network", TABLE)
def test_faults_of_any_model_are_caught(network: str) -> None:
    check_caught(*TABLE[network])


@pytest.mark.parametrize("name", [fault.id for fault in FAULTS if fault.pairs])
def test_a_fault_of_samples_and_losses_is_caught(name: str) -> None:
    check_caught(KNOWN[name].pairs[0], (name,))


def check_caught(pair: parity.Pair, names: tuple[str, ...]) -> None:
    """Each fault goes in, changes something, and a check fails; the correct pair passes."""
    score = run([pair], [KNOWN[name] for name in names], examples=1)
    assert score.ok, score
    assert {outcome.fault for outcome in score.live} == set(names), score


def test_every_generic_fault_is_in_the_table() -> None:
    tried = {name for _, names in TABLE.values() for name in names}
    untried = {fault.id for fault in GENERIC} - tried
    assert untried == {"any-gelu-tanh-default"}  # an attribute that these networks lack; network-gelu-tanh in its place
    assert {fault.id for fault in FAULTS if not fault.pairs} <= tried
