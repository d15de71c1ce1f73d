"""TiDHy's torch names as Flax paths, written out by hand: a second opinion on what inference finds."""

from __future__ import annotations

import numpy as np


def linen_path(name: str, rank: int) -> str:
    """`hypernet.0.weight` → `params/hypernet/layers_0/kernel`."""
    return "params/" + "/".join(_parts(name, rank, "layers_{}"))


def nnx_path(name: str, rank: int) -> str:
    """`hypernet.0.weight` → `hypernet/layers/0/kernel`."""
    return "/".join(_parts(name, rank, "layers/{}"))


def carried(name: str, value: np.ndarray) -> np.ndarray:
    """Linear weights are transposed, everything else is the same on both sides; either way round."""
    return value.T if name.endswith(".weight") and value.ndim == 2 else value


def _parts(name: str, rank: int, layer: str) -> list[str]:
    if "." not in name:
        return [name]
    network, index, leaf = name.split(".")
    return [network, layer.format(index), {"bias": "bias", "weight": {1: "scale", 2: "kernel"}.get(rank, "")}[leaf]]
