"""Copies and comparisons by blocks, against numpy's own, over layouts and dtypes of more than one block."""

from __future__ import annotations

import numpy as np
import pytest

from weight_bridge._dtypes import numpy_dtype
from weight_bridge.blocks import BLOCK, compact, pieces, regions, same_bits
from weight_bridge.scan import LARGEST, part_has_nan
from weight_bridge.spec import Array

LAYOUTS = {
    "as stored": lambda array: array,
    "transposed": lambda array: array.reshape(503, 331).T,
    "convolution": lambda array: array.reshape(503, 331, 1, 1)[:, :330].reshape(503, 10, 11, 3).transpose(2, 3, 1, 0),
    "flipped": lambda array: np.flip(array.reshape(503, 331).T, (0, 1)),
    "strided": lambda array: array.reshape(331, 503)[::3, 1::2].T,
    "repeated": lambda array: np.broadcast_to(array[:503, None, None], (503, 31, 19)).transpose(2, 0, 1),
    "scalar": lambda array: array[7, ...],
    "empty": lambda array: array[:0].reshape(0, 5).T,
}


@pytest.mark.parametrize("dtype", ["bool", "bfloat16", "float32", "float64", "complex128"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_copies_and_comparisons(layout: str, dtype: str) -> None:
    stored = np.random.default_rng(0).integers(0, 256, 503 * 331 * numpy_dtype(dtype).itemsize, np.uint8)
    array: Array = LAYOUTS[layout]((stored & 1 if dtype == "bool" else stored).view(numpy_dtype(dtype)))
    copied = compact(array)
    assert copied.flags.c_contiguous
    assert copied.tobytes() == array.tobytes()
    assert same_bits(array, copied)
    assert same_bits(copied, array)
    if array.size > 1:
        copied = copied.copy()
        copied.reshape(-1)[array.size // 2 :].view(np.uint8)[0] ^= 1
        assert not same_bits(array, copied)


@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (BLOCK, 3), (7, BLOCK + 1), (3, 411, 2, 397)])
def test_every_element_is_in_one_region(shape: tuple[int, ...]) -> None:
    for cut in (list(regions(shape)), list(pieces(shape, 2))):
        counts = np.zeros(shape, np.uint8)
        for region in cut:
            counts[region] += 1
        assert (counts == 1).all()
    assert all(counts[region].size <= BLOCK for region in regions(shape))


@pytest.mark.parametrize("dtype", LARGEST)
def test_nan_is_told_by_its_bits(dtype: str) -> None:
    kind = numpy_dtype(dtype)
    largest, sign = LARGEST[dtype], 1 << (8 * kind.itemsize - 1)
    magnitudes = {0, 1, largest - 1, largest, largest + 1, sign - 1} | ({sign - 2} if kind.itemsize > 1 else set())
    stored = np.array(sorted(magnitudes | {sign | each for each in magnitudes}), f"<u{kind.itemsize}")
    numbers = stored.view(kind)
    with np.errstate(invalid="ignore"):  # signalling NaN
        expected = np.isnan(numbers).tolist()
    assert [part_has_nan(numbers[i : i + 1]) for i in range(numbers.size)] == expected
    assert any(expected)
    assert not all(expected)
