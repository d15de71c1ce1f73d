"""Axis orders: read, applied, undone, refused."""

from __future__ import annotations

import numpy as np
import pytest

from parity import Layout, UsageError
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
