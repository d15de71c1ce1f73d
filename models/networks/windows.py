"""Windows around the steps of a sequence; no framework."""

from __future__ import annotations

import numpy as np


def window_mask(length: int, reach: int, *, clamp: bool = False) -> np.ndarray:
    """Say which steps the window of each step holds.

    Step j's window is what Python's slice [j − reach : j + reach + 1] takes, in which a negative start
    counts from the end: windows near the start are empty in sequences longer than twice the reach.

    Args:
        length: Number of steps L.
        reach: Steps to either side.
        clamp: Start at 0 instead of at a negative number, so that no window is empty.

    Returns:
        (L, L), bool: row j is the window of step j.

    Example:
        >>> window_mask(3, 1).astype(int).tolist(), window_mask(3, 1, clamp=True).astype(int).tolist()
        ([[0, 0, 0], [1, 1, 1], [0, 1, 1]], [[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    """
    mask = np.zeros((length, length), dtype=bool)
    for j in range(length):
        start = max(j - reach, 0) if clamp else j - reach
        mask[j, start : j + reach + 1] = True
    return mask
