"""Weights away from their fresh constants, so that no layer's parameters are invisible."""

from __future__ import annotations

import numpy as np

from parity.record import Arrays


def perturb(state: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Moves every floating tensor of a state off its initial value.

    Fresh constants hide faults: a scale of one, a bias of zero, running statistics of (0, 1) and a symmetric matrix all
    survive a wrong mapping. Constant tensors get a spread of 0.2; a tensor that is everywhere positive and constant, or
    is called a variance, stays positive; drawn tensors get a tenth of their own spread on top.

    Args:
      state: torch names and values; integers and booleans pass through.
      rng: the source of randomness.

    Returns:
      New float64 arrays by the same names, in the same order.

    Example:
      >>> moved = perturb({"weight": np.ones(3), "steps": np.array(4)}, np.random.default_rng(0))
      >>> bool((moved["weight"] > 0).all()), int(moved["steps"])
      (True, 4)
    """
    return {name: _move(name, np.asarray(value), rng) for name, value in state.items()}


def _move(name: str, value: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One tensor."""
    if value.dtype.kind in "biu" or value.size == 0:
        return value
    value = value.astype(np.complex128 if value.dtype.kind == "c" else np.float64)
    noise = rng.standard_normal(value.shape)
    spread = float(value.std())
    if spread > 0 and not name.rsplit(".", 1)[-1].endswith("var"):
        return value + 0.1 * spread * noise
    if bool(np.all(np.real(value) > 0)):
        return value * np.exp(0.2 * noise)
    return value + 0.2 * noise
