"""Axis orders: read, applied, undone, refused."""

from __future__ import annotations

from typing import Any

import flax.linen as ln
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from hypothesis import strategies as st

from parity import Layout, Pair, UsageError, check, compare, real
from parity.layout import Layouts

IMAGE = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)


@pytest.mark.parametrize("text", ["NCHW->NHWC", "NCHW->WHCN", "NCHW->NCHW"])
def test_there_and_back(text: str) -> None:
    layout = Layout(text)
    there = layout.to_candidate(IMAGE)
    assert there.shape == tuple(dict(zip("NCHW", IMAGE.shape, strict=True))[axis] for axis in text.split("->")[1])
    assert (layout.to_reference(there) == IMAGE).all()


@pytest.mark.parametrize("text", ["NCHW", "NCHW->NHW", "NCHW->NHWX", "NNHW->NHWN", "N->C->W"])
def test_what_is_no_permutation_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        Layout(text)
    assert str(refused.value).startswith(f"layout {text!r}: expected the reference's axes, '->', and the same axes")


def test_one_text_is_for_every_array_of_its_rank() -> None:
    layouts = Layouts.of("NCHW->NHWC")
    assert layouts.to_candidate("input[0]", IMAGE).shape == (2, 5, 7, 3)
    assert layouts.to_candidate("input[1]", IMAGE[0]).shape == (3, 5, 7)
    assert layouts.to_reference("output", IMAGE).shape == (2, 7, 3, 5)


def test_named_leaves_alone() -> None:
    layouts = Layouts.of({"input[0]": "NCHW->NHWC"})
    assert layouts.to_candidate("input[0]", IMAGE).shape == (2, 5, 7, 3)
    assert layouts.to_reference("output", IMAGE).shape == IMAGE.shape
    with pytest.raises(UsageError, match="it has 4 axes, the array has shape"):
        layouts.to_candidate("input[0]", IMAGE[0])


SHAPES = "there are input[0] of shape [2, 3, 5, 7], output of shape [2, 3, 5, 7]"
RANK = f"layout 'NCL->NLC': it has 3 axes, and no input or output has; {SHAPES}"


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("NCL->NLC", RANK),
        (
            {"inputs[0]": "NCHW->NHWC", "output": "NCHW->NHWC"},
            f"layout for 'inputs[0]': there is no such input or output; {SHAPES}",
        ),
    ],
    ids=["rank", "name"],
)
def test_a_layout_that_applies_to_nothing_is_refused(layout: Any, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        compare(torch.nn.ReLU(), nnx.relu, IMAGE - 99.5, carry=None, layout=layout, checks=("forward",))
    assert str(refused.value) == message


@pytest.mark.parametrize("candidate", [nnx.relu, nnx.sigmoid], ids=["right", "wrong"])
def test_a_pair_s_layout_has_to_apply_somewhere(candidate: Any) -> None:
    pair = Pair(
        name="relu",
        reference=lambda config: torch.nn.ReLU(),
        candidates={"function": lambda config: candidate},
        configs=st.sampled_from([(2, 3, 5, 7), (2, 3, 5)]),
        inputs=lambda config: st.just((real(*config),)),
        modes=("eval",),
        checks=("forward",),
        layout="ABCDE->ABCED",
    )
    with pytest.raises(UsageError, match=r"^layout 'ABCDE->ABCED': it has 5 axes, and no input or output has; there"):
        check(pair, examples=4)


class Smoothing(torch.nn.Module):
    """One image at a time by `step`, or all of a clip."""

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        return torch.tanh(clip)

    def step(self, image: torch.Tensor) -> torch.Tensor:
        return torch.tanh(image)


class SmoothingPort(nnx.Module):
    def __call__(self, clip: jax.Array) -> jax.Array:
        return jnp.tanh(clip)

    def step(self, image: jax.Array) -> jax.Array:
        return jnp.tanh(image)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("NCHW->NHWC", None),
        (
            "NCL->NLC",
            (
                "layout 'NCL->NLC': it has 3 axes, and no input or output has; there are input[0] of shape "
                "[2, 3, 5, 7, 11], output of shape [2, 3, 5, 7, 11], input[0] of shape [2, 3, 7, 11], output of shape "
                "[2, 3, 7, 11]"
            ),
        ),
    ],
    ids=["applies in the calls", "applies nowhere"],
)
def test_a_layout_may_be_that_of_a_sequence_s_calls_alone(layout: str, message: str | None) -> None:
    pair = Pair(
        name="smoothing",
        reference=lambda config: Smoothing(),
        candidates={"nnx": lambda config: SmoothingPort()},
        inputs=lambda config: st.just((real(2, 3, 5, 7, 11),)),
        modes=("eval",),
        checks=("forward",),
        layout=layout,
        sequence=lambda clip: [("step", (clip[:, :, i],)) for i in (0, 1)],
    )
    if message is None:
        assert check(pair, examples=2).ok
        return
    with pytest.raises(UsageError) as refused:
        check(pair, examples=2)
    assert str(refused.value) == message


class Channels(ln.Module):
    """Takes its shapes from what it is first called with."""

    @ln.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return ln.Conv(11, (3, 3), padding="VALID", name="0")(x)


@pytest.mark.parametrize("layout", [None, "NCL->NLC"])
def test_weights_that_fit_in_no_layout_but_the_right_one(layout: str | None) -> None:
    pair = Pair(
        name="channels",
        reference=lambda config: torch.nn.Sequential(torch.nn.Conv2d(3, 11, 3)),
        candidates={"linen": lambda config: Channels()},
        inputs=lambda config: st.just((real(2, 3, 5, 7),)),
        modes=("eval",),
        checks=("forward",),
        layout=layout,
    )
    if layout is None:
        (found,) = check(pair, examples=1).results
        assert (found.check, found.detail.splitlines()[-1]) == ("carry", "  the weights fit with layout='NCHW->NHWC'")
        return
    with pytest.raises(UsageError, match=r"^layout 'NCL->NLC': it has 3 axes, and no input or output has; there are"):
        check(pair, examples=1)


def test_channels_that_a_candidate_has_last_are_hinted_at() -> None:
    reference = torch.nn.Conv2d(3, 11, 3)
    port = nnx.Conv(3, 11, (3, 3), padding="VALID", rngs=nnx.Rngs(0))
    (found,) = compare(reference, port, IMAGE / 97, checks=("forward",)).results
    assert found.detail.startswith("only the candidate refuses, in eval mode: ")
    assert found.detail.endswith("; if the candidate has channels last, say layout='NCHW->NHWC'")
    assert compare(reference, port, IMAGE / 97, checks=("forward",), layout="NCHW->NHWC").ok
