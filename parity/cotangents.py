"""Fixed random cotangents, the same on both sides without either knowing the other."""

from __future__ import annotations

import zlib

import numpy as np

from parity.record import Arrays


def cotangent(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The cotangent of one output leaf: standard normal, decided by name, shape and seed.

    A random cotangent, because the gradient of a plain sum vanishes behind a softmax or a normalisation.

    Args:
      name: leaf name, `output[0]`.
      shape: of the leaf, in the reference's layout.
      seed: of the example.

    Returns:
      float64 array of `shape`.
    """
    return np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)


def cotangents(outputs: Arrays, seed: int) -> dict[str, np.ndarray]:
    """Cotangents of all floating outputs, by leaf name."""
    return {
        name: cotangent(name, value.shape, seed) for name, value in outputs.items() if value.dtype.kind not in "biu"
    }
