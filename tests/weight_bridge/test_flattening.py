"""A linear layer behind a flattened convolution is declared, or refused; others are left alone."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import parity
from tests.weight_bridge.test_infer import Shapes, dense, linear, norm, planned, scale
from weight_bridge import Plan, PlanError, plan
from weight_bridge.mapping import loads


def conv(name: str, out: int, into: int, size: int = 3) -> Shapes:
    return {f"{name}.weight": (out, into, size, size), f"{name}.bias": (out,)}


def kernel(path: str, into: int, out: int, size: int = 3) -> Shapes:
    return {f"{path}/kernel": (size, size, into, out), f"{path}/bias": (out,)}


UNTYPED = "--source may, with the layers' types and their order. "
LINE = (
    "fc1/kernel from fc1.weight [11, 120]: its 120 inputs may be 6 channels of conv × 20 places, which torch flattens "
    "channels first and the target perhaps channels last; nothing tells. A [[layer]] of --mapping with "
    'source = "fc1", target = "fc1" takes it as it stands, channels_last = 6 beside these turns it'
)
CONV = conv("conv", 6, 3), kernel("conv", 3, 6)
FC1 = linear("fc1", 11, 120), dense("fc1", 120, 11)
FC2 = linear("fc2", 5, 11), dense("fc2", 11, 5)
ENCODED = linear("encoder.fc", 7, 120), dense("encoder/fc", 120, 7)
DECODED = linear("decoder.fc", 120, 7), dense("decoder/fc", 7, 120)

Side = tuple[Shapes, Shapes]


def joined(*parts: Side) -> Side:
    return {n: s for part in parts for n, s in part[0].items()}, {p: s for part in parts for p, s in part[1].items()}


def sorted_names(*parts: Side) -> Side:
    """A checkpoint whose order tells nothing."""
    names, paths = joined(*parts)
    return dict(sorted(names.items())), paths


WIDE = linear("h.0.inner.dense", 24, 6), dense("h/0/inner/dense", 6, 24)
NARROW = linear("h.0.output.dense", 6, 24), dense("h/0/output/dense", 24, 6)
GREY_FC = linear("fc", 20, 7), dense("fc", 7, 20)
GREY = conv("conv", 6, 1), kernel("conv", 1, 6)
EMBEDDED = linear("time.0", 12, 5), dense("time/layers_0", 5, 12)
PROJECTED = linear("time.2", 7, 12), dense("time/layers_2", 12, 7)
UP = linear("blocks.0.up", 24, 6), dense("blocks/0/up", 6, 24)
DOWN = linear("blocks.0.down", 6, 24), dense("blocks/0/down", 24, 6)
GATED = linear("blocks.0.gated", 48, 6), dense("blocks/0/gated", 6, 48)
ALLOWED: dict[str, Side] = {
    "no convolution": joined(FC1, FC2),
    "pooled to one place": joined(CONV, (linear("fc", 5, 6), dense("fc", 6, 5))),
    "inputs that no channels divide": joined(CONV, (linear("fc", 5, 121), dense("fc", 121, 5))),
    "made by the layer before it": joined(CONV, UP, DOWN),
    "made by a gated layer before it": joined(CONV, GATED, DOWN),
    "made in the same block, whatever the order": sorted_names(CONV, WIDE, NARROW),
    "before the convolution": joined((linear("time", 5, 12), dense("time", 12, 5)), CONV),
    "before a convolution, one place": joined((linear("fc", 3, 7), dense("fc", 7, 3)), CONV),
    "before a convolution, packed": joined((linear("qkv", 9, 3), dense("qkv", 3, 9)), CONV),
    "before a convolution, of an image of one channel": joined(GREY_FC, GREY),
    "before a convolution, taken by another layer": joined(EMBEDDED, PROJECTED, CONV),
    "stored with channels first": joined(
        (conv("conv", 6, 3), {"conv/weight": (6, 3, 3, 3), "conv/bias": (6,)}),
        (FC1[0], {"fc1/weight": (11, 120), "fc1/bias": (11,)}),
    ),
}


@pytest.mark.parametrize("sides", ALLOWED.values(), ids=ALLOWED)
def test_what_flattens_nothing_needs_no_declaration(sides: Side) -> None:
    assert planned(*sides).steps


@pytest.mark.parametrize("sides", [joined(CONV, FC1, FC2), joined(FC1, CONV, FC2, (norm("a", 6), scale("a", 6)))])
def test_what_may_be_flattened_is_refused(sides: Side) -> None:
    names = dict(sorted(sides[0].items())) if next(iter(sides[0])).startswith("fc") else sides[0]
    with pytest.raises(PlanError) as refused:
        planned(names, sides[1])
    assert refused.value.problems == (LINE.replace("A [[", f"{UNTYPED}A [["),)


def test_a_decoder_does_not_make_the_inputs_of_an_encoder() -> None:
    with pytest.raises(PlanError, match=r"its 120 inputs may be 6 channels of encoder.conv × 20 places"):
        planned(*joined((conv("encoder.conv", 6, 3), kernel("encoder/conv", 3, 6)), ENCODED, DECODED))


def ahead(layer: str, shape: list[int], outputs: int = 140, conv: str = "conv") -> str:
    leaf = "kernel" if len(shape) == 2 else "scale"
    path = layer.replace(".", "/")
    return (
        f"{path}/{leaf} from {layer}.weight {shape}: its {outputs} outputs may be 7 channels of {conv} × 20 places, "
        "which torch takes apart channels first and the target perhaps channels last; nothing tells. A [[layer]] of "
        f'--mapping with source = "{layer}", target = "{path}" takes it as it stands, output_channels_last = 7 beside '
        "these turns it"
    )


IMAGE = conv("conv", 3, 7), kernel("conv", 7, 3)
FC = linear("fc", 140, 11), dense("fc", 11, 140)


BELOW = conv("a.conv", 3, 7), kernel("a/conv", 7, 3)
HEAD = linear("a.fc", 140, 11), dense("a/fc", 11, 140)
AHEAD: dict[str, tuple[Side, list[str]]] = {
    "in the order of the model": (joined(FC, IMAGE), [ahead("fc", [140, 11])]),
    "with a normalisation between": (
        joined(FC, (norm("act", 140), scale("act", 140)), IMAGE),
        [ahead("fc", [140, 11]), ahead("act", [140])],
    ),
    "names in order": (sorted_names(BELOW, HEAD), [ahead("a.fc", [140, 11], conv="a.conv")]),
}


@pytest.mark.parametrize(("sides", "lines"), AHEAD.values(), ids=AHEAD)
def test_what_may_become_an_image_is_refused(sides: Side, lines: list[str]) -> None:
    with pytest.raises(PlanError) as refused:
        planned(*sides)
    assert list(refused.value.problems) == [line.replace("A [[", f"{UNTYPED}A [[") for line in lines]


def test_convolutions_that_others_feed_need_no_declaration_of_a_head() -> None:
    assert planned(*sorted_names(BELOW, HEAD, (conv("a.stem", 7, 3), kernel("a/stem", 3, 7)))).steps


class Torch(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc1 = torch.nn.Conv2d(3, 6, 3), torch.nn.Linear(6 * 4 * 5, 11)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc1(self.conv(x).flatten(1))


class Nnx(nnx.Module):
    def __init__(self) -> None:
        options: dict[str, Any] = {"rngs": nnx.Rngs(0), "param_dtype": jnp.float64}
        self.conv = nnx.Conv(3, 6, (3, 3), padding="VALID", **options)
        self.fc1 = nnx.Linear(120, 11, **options)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.fc1(self.conv(x).reshape(len(x), -1))


def test_a_declaration_turns_the_rows_and_the_numbers_agree() -> None:
    declared = loads('[[layer]]\nsource = "fc1"\ntarget = "fc1"\nchannels_last = 6')
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 7))
    with jax.enable_x64(True):
        layout = {"input[0]": "NCHW->NHWC"}
        right = parity.compare(Torch(), Nnx(), x, carry=declared, layout=layout)
        wrong = parity.compare(Torch(), Nnx(), x, layout=layout)  # compares numbers, so takes it as it stands
        with pytest.raises(PlanError) as refused:
            plan(Torch().state_dict(), Nnx, source=Torch)
    assert right.ok, right
    assert not wrong.ok
    assert refused.value.problems == (LINE,)


class TorchDecoder(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = torch.nn.Linear(11, 7 * 4 * 5), torch.nn.BatchNorm1d(7 * 4 * 5)
        self.conv = torch.nn.ConvTranspose2d(7, 3, 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.norm(self.fc(x)).unflatten(1, (7, 4, 5)))


class NnxDecoder(nnx.Module):
    def __init__(self) -> None:
        options: dict[str, Any] = {"rngs": nnx.Rngs(0), "param_dtype": jnp.float64}
        self.fc = nnx.Linear(11, 140, **options)
        self.norm = nnx.BatchNorm(140, use_running_average=True, epsilon=1e-5, **options)
        self.conv = nnx.ConvTranspose(7, 3, (2, 2), padding="VALID", use_bias=False, **options)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.conv(self.norm(self.fc(x)).reshape(len(x), 4, 5, 7))


def test_a_declaration_turns_outputs_and_the_numbers_agree() -> None:
    layers = [f'[[layer]]\nsource = "{name}"\ntarget = "{name}"\noutput_channels_last = 7' for name in ("fc", "norm")]
    x = np.random.default_rng(0).standard_normal((2, 11))
    layout = {"output": "NCHW->NHWC"}
    with jax.enable_x64(True):
        right = parity.compare(TorchDecoder(), NnxDecoder(), x, carry=loads("\n".join(layers)), layout=layout)
        wrong = parity.compare(TorchDecoder(), NnxDecoder(), x, layout=layout)
        declared = plan(
            TorchDecoder().state_dict(), NnxDecoder, source=TorchDecoder, mapping=loads("\n".join(layers)), strict=True
        )
        with pytest.raises(PlanError) as refused:
            plan(TorchDecoder().state_dict(), NnxDecoder, source=TorchDecoder, mapping=loads(layers[0]))
        with pytest.raises(PlanError, match="its 140 outputs may be 7 channels of conv × 20 places"):
            plan(TorchDecoder().state_dict(), NnxDecoder)
    assert right.ok, right
    assert not wrong.ok
    assert refused.value.problems == (ahead("norm", [140]),)
    assert declared.counts() == {"proved": 1, "written": 6}


MID = linear("mid", 120, 120), dense("mid", 120, 120)
BETWEEN = joined(CONV, MID, (conv("up", 3, 6), kernel("up", 6, 3)))
HALF = (
    "mid/kernel from mid.weight [120, 120]: its 120 {side} may be 6 channels of {conv} × 20 places, which torch {does} "
    f"channels first and the target perhaps channels last; nothing tells. {UNTYPED}In the [[layer]] that has "
    'source = "mid", target = "mid", {key} = 1 takes them as they stand, {key} = 6 turns them'
)
INPUTS, OUTPUTS = "channels_last = 6\n", "output_channels_last = 6\n"
AS_IT_STANDS = "channels_last = 1\noutput_channels_last = 1\n"


def between(*keys: str) -> Plan:
    return planned(*BETWEEN, mapping=loads("".join(['[[layer]]\nsource = "mid"\ntarget = "mid"\n', *keys])))


def test_a_declaration_answers_for_the_side_that_it_names() -> None:
    asked = {"side": "outputs", "conv": "up", "does": "takes apart", "key": "output_channels_last"}
    with pytest.raises(PlanError) as refused:
        between(INPUTS)
    assert refused.value.problems == (HALF.format(**asked),)
    asked = {"side": "inputs", "conv": "conv", "does": "flattens", "key": "channels_last"}
    with pytest.raises(PlanError) as refused:
        between(OUTPUTS)
    assert refused.value.problems == (HALF.format(**asked),)


@pytest.mark.parametrize(
    ("keys", "transform"),
    [
        ((), "permute(1, 0)"),
        ((AS_IT_STANDS,), "permute(1, 0)"),
        ((INPUTS, "output_channels_last = 1\n"), "regroup(axis=1, sizes=(6, 20), order=(1, 0)) | permute(1, 0)"),
    ],
)
def test_a_side_may_be_declared_to_stay_as_it_stands(keys: tuple[str, ...], transform: str) -> None:
    (step,) = (step for step in between(*keys).steps if step.targets == ("mid/kernel",))
    assert str(step.transform) == transform
    assert ("outputs as they stand" in step.why) == bool(keys)
    assert "1 channels" not in step.why
    assert step.verdict == "assumed"  # the mapping pairs the layers; how the target stores them is told by names


@pytest.mark.parametrize(
    ("channels", "line"),
    [
        ("7", "[[layer]] fc1: fc1: channels_last = 7 goes with a linear layer of a multiple of 7 inputs"),
        ('"6"', "[[layer]] 1: channels_last: expected the number of channels, got '6'"),
    ],
)
def test_a_declaration_that_cannot_be(channels: str, line: str) -> None:
    written = f'[[layer]]\nsource = "fc1"\ntarget = "fc1"\nchannels_last = {channels}'
    with pytest.raises(Exception, match=r"plan|mapping") as refused:
        planned(*joined(CONV, FC1), mapping=loads(written))
    problems = getattr(refused.value, "problems", ())
    assert line in problems
    assert not any("filled already" in problem for problem in problems)
