"""Axis orders: read, applied, undone, refused."""

from __future__ import annotations

from typing import Any

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


def test_channels_that_a_candidate_has_last_are_hinted_at() -> None:
    reference = torch.nn.Conv2d(3, 11, 3)
    port = nnx.Conv(3, 11, (3, 3), padding="VALID", rngs=nnx.Rngs(0))
    (found,) = compare(reference, port, IMAGE / 97, checks=("forward",)).results
    assert found.detail.startswith("only the candidate refuses, in eval mode: ")
    assert found.detail.endswith("; if the candidate has channels last, say layout='NCHW->NHWC'")
    assert compare(reference, port, IMAGE / 97, checks=("forward",), layout="NCHW->NHWC").ok
