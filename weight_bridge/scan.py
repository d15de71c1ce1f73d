"""NaN found fast: by the bits, part by part, on every core; told in full only where there is one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from weight_bridge._dtypes import kind
from weight_bridge.blocks import bits, chunks, parallel
from weight_bridge.spec import Array

# The largest bits, sign aside, of an element that is no NaN.
LARGEST: dict[str, int] = {
    "float16": 0x7C00,
    "bfloat16": 0x7F80,
    "float32": 0x7F800000,
    "float64": 0x7FF0000000000000,
    "float8_e4m3fn": 0x7E,
    "float8_e5m2": 0x7C,
    "float8_e8m0fnu": 0xFE,
}


def has_nan(array: Array) -> bool:
    """Returns whether an array of any layout and dtype holds NaN.

    Example:
      >>> has_nan(np.array([1.0, np.inf])), has_nan(np.array([1.0, np.nan])), has_nan(np.array([3]))
      (False, True, False)
    """
    return any(parallel(part_has_nan, chunks(array)))


def part_has_nan(part: Array) -> bool:
    """Returns the same of an array of a few megabytes, found by this thread alone."""
    if kind(part.dtype.name) == "complex":
        return part_has_nan(np.real(part)) or part_has_nan(np.imag(part))
    if kind(part.dtype.name) != "float" or not part.size:
        return False
    largest = LARGEST.get(part.dtype.name)
    if largest is None:
        return bool(np.isnan(part).any())
    whole, width = bits(part), part.itemsize
    sign = 1 << (8 * width - 1)  # where it is set, the numbers come last as unsigned integers, and first as signed
    return int(whole.max()) > largest | sign or int(whole.view(f"<i{width}").max()) > largest


def nan_problems(arrays: Mapping[str, Array]) -> list[str]:
    """Returns one line per array that holds NaN."""
    lines: list[str] = []
    for name, array in arrays.items():
        if has_nan(array):
            found = np.isnan(array)
            where = ", ".join(map(str, np.unravel_index(int(found.argmax()), found.shape)))
            count = int(found.sum())
            lines.append(
                f"{name}: {count} of {array.size} elements are NaN, the first at [{where}]; --allow-nan lets them pass"
            )
    return lines
