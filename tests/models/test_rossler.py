from __future__ import annotations

import numpy as np
import pytest

from models.rossler import rossler, rossler_windows


def test_the_orbit_solves_the_equations() -> None:
    dt = 1e-3
    x, y, z = rossler(2001, dt=dt, burn_in=0).T
    slopes = np.gradient(np.stack([x, y, z]), dt, axis=1)[:, 1:-1]
    expected = np.stack([-y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)])[:, 1:-1]
    assert np.abs(slopes - expected).max() < 1e-4


def test_the_orbit_is_on_the_attractor_and_the_same_each_time() -> None:
    states = rossler(3000)
    assert np.array_equal(states, rossler(3000))
    assert states[:, 2].min() > 0
    assert 15 < states[:, 2].max() < 25
    assert 9 < np.abs(states[:, 0]).max() < 13


@pytest.mark.parametrize("features", [3, 6])
def test_windows_are_standardised_and_consecutive(features: int) -> None:
    windows = rossler_windows(40, 50, features=features)
    assert windows.shape == (40, 50, features)
    np.testing.assert_allclose(windows.mean(axis=(0, 1)), 0.0, atol=1e-12)
    np.testing.assert_allclose(windows.std(axis=(0, 1)), 1.0)
    if features == 3:
        orbit = rossler(2000)
        np.testing.assert_allclose(windows.reshape(-1, 3), (orbit - orbit.mean(axis=0)) / orbit.std(axis=0))
    assert np.linalg.matrix_rank(windows.reshape(-1, features)) == 3


@pytest.mark.parametrize("sizes", [(0, 5, 3), (5, 0, 3), (5, 5, 2)])
def test_sizes_that_cannot_be(sizes: tuple[int, int, int]) -> None:
    count, length, features = sizes
    with pytest.raises(ValueError) as refusal:
        rossler_windows(count, length, features=features)
    assert str(refusal.value) == (
        "rossler_windows: expected count and length of at least 1 and features of at least 3, got "
        f"count={count}, length={length}, features={features}"
    )


def test_no_steps() -> None:
    with pytest.raises(ValueError, match=r"got steps=0, burn_in=1000, dt=0\.1$"):
        rossler(0)
