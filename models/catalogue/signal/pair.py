"""The signal family's claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from models.catalogue.inputs import chosen, integers
from models.catalogue.signal import nnx as candidates
from models.catalogue.signal import torch as references
from parity import Input, Pair, real


def _boxes(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Corner and size of boxes in the unit square."""
    low = rng.uniform(0, 0.5, (shape[0], 2))
    return np.concatenate([low, rng.uniform(0.3, 0.5, (shape[0], 2))], 1)


def _claim(name: str, reference: Callable[[], Any], candidate: Callable[[], Any], *inputs: Input) -> Pair:
    return Pair(
        name=f"signal.{name}",
        reference=lambda config: reference(),
        candidates={"nnx": lambda config: candidate()},
        inputs=lambda c: st.just(inputs),
        modes=("eval",),
    )


BYTES = chosen(2, 3, 4, 5, bytes=integers(0, 256))
# Matrix products take these samples, and spread a NaN over the rows and columns that torch's gathers never read.
FINITE = ("normal", "small", "offset", "wide")
RESIZES = _claim("resizes", references.Resizes, candidates.Resizes, real(3, 2, 4, 7, profiles=FINITE))
REGIONS = _claim(
    "regions", references.Regions, candidates.Regions, real(3, 2, 5, 7, profiles=FINITE), chosen(3, 4, any=_boxes)
)
SPECTRA = _claim("spectra", references.Spectra, candidates.Spectra, real(3, 20))
MEL = _claim("mel", references.Mel, candidates.Mel, real(4, 9))
PREPROCESS = _claim(
    "preprocess", references.Preprocess, candidates.Preprocess, chosen(2, 3, 4, 5, bytes=integers(0, 256))
)
