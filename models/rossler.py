"""The Rössler system: a small chaotic data set that is simulated, not downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.integrate import solve_ivp

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rossler(
    steps: int, *, dt: float = 0.1, a: float = 0.2, b: float = 0.2, c: float = 5.7, burn_in: int = 1000
) -> NDArray[np.float64]:
    """Integrates the Rössler system on its attractor.

    dx/dt = −y − z, dy/dt = x + a·y, dz/dt = b + z·(x − c), from (1, 1, 1), with Dormand and Prince's method of
    order 8. Being chaotic, two integrators agree for a few dozen turns only; one integrator repeats itself.

    Args:
      steps: samples to return.
      dt: time between samples; one turn of the attractor takes about 5.9.
      a: growth of the spiral.
      b: the same, near the plane.
      c: where the third coordinate starts to fold the spiral back. The defaults are Rössler's.
      burn_in: samples to discard first.

    Returns:
      (steps, 3) states, float64.

    Raises:
      ValueError: for fewer than one sample, or a time step that is not positive.
      RuntimeError: if the integrator fails, as it does for parameters whose orbits escape.

    Example:
      >>> rossler(5).shape
      (5, 3)

    References:
      Rössler, An equation for continuous chaos, Physics Letters A 57, 1976.
    """
    if steps < 1 or burn_in < 0 or dt <= 0:
        raise ValueError(
            f"rossler: expected steps of at least 1, burn_in of at least 0 and dt above 0, got "
            f"steps={steps}, burn_in={burn_in}, dt={dt}"
        )

    def slope(_: float, state: NDArray[np.float64]) -> list[float]:
        x, y, z = state
        return [-y - z, x + a * y, b + z * (x - c)]

    times = dt * np.arange(burn_in + steps)
    start = np.ones(3)
    orbit = solve_ivp(slope, (0.0, times[-1]), start, method="DOP853", t_eval=times, rtol=1e-9, atol=1e-9)
    if not orbit.success:
        raise RuntimeError(f"rossler: the integrator gave up with a={a}, b={b}, c={c}: {orbit.message}")
    return orbit.y.T[burn_in:]


def rossler_windows(
    count: int, length: int, *, features: int = 3, dt: float = 0.1, seed: int = 0
) -> NDArray[np.float64]:
    """Standardised windows of a Rössler orbit, as batches of sequences.

    Args:
      count: windows B, one after the other along the orbit.
      length: time steps T of each.
      features: observed features D; beyond 3, the states are mixed by a fixed random matrix.
      dt: time between samples.
      seed: of that matrix.

    Returns:
      (B, T, D) float64; each feature has mean 0 and standard deviation 1 over all windows.

    Raises:
      ValueError: for sizes below 1, or fewer than 3 features.

    Example:
      >>> rossler_windows(4, 10, features=6).shape
      (4, 10, 6)
    """
    if count < 1 or length < 1 or features < 3:
        raise ValueError(
            f"rossler_windows: expected count and length of at least 1 and features of at least 3, got "
            f"count={count}, length={length}, features={features}"
        )
    states = rossler(count * length, dt=dt)
    if features > 3:
        states = _standardised(states) @ np.random.default_rng(seed).normal(size=(3, features))
    return _standardised(states).reshape(count, length, features)


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values - values.mean(axis=0)) / values.std(axis=0)
