"""The loss family's claims."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from models.catalogue.inputs import chosen, coarse, extreme, integers, normal
from models.catalogue.losses import nnx as candidates
from models.catalogue.losses import torch as references
from parity import Pair, real


def _ignored(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Labels of which some do not count."""
    labels = rng.integers(0, references.CLASSES, shape)
    labels[1::3] = -100
    return labels


def _variances(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.exp(rng.standard_normal(shape))


def _tiny_variances(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """From 1e-9 up: some under the floor."""
    return 10.0 ** rng.uniform(-9, 0, shape)


def _ones(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.ones(shape)


def _ragged(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Rows of different lengths, each of one step at least."""
    lengths = rng.integers(1, shape[1] + 1, (shape[0], 1))
    return (np.arange(shape[1]) < lengths).astype(np.float64)


CLASSIFICATION = Pair(
    name="losses.classification",
    reference=lambda config: references.Classification(),
    candidates={"nnx": lambda config: candidates.Classification()},
    inputs=lambda c: st.just(
        (real(7, references.CLASSES), chosen(7, plain=integers(0, references.CLASSES), ignored=_ignored))
    ),
    modes=("eval",),
)

PROBABILITY = Pair(
    name="losses.probability",
    reference=lambda config: references.Probability(),
    candidates={"nnx": lambda config: candidates.Probability()},
    inputs=lambda c: st.just((chosen(7, 5, normal=normal, extreme=extreme), real(7, 5, profiles=("normal",)))),
    modes=("eval",),
)

REGRESSION = Pair(
    name="losses.regression",
    reference=lambda config: references.Regression(),
    candidates={"nnx": lambda config: candidates.Regression()},
    inputs=lambda c: st.just((chosen(7, 4, normal=normal, coarse=coarse), chosen(7, 4, normal=normal, coarse=coarse))),
    modes=("eval",),
)

SEQUENCES = Pair(
    name="losses.sequences",
    reference=lambda config: references.Sequences(),
    candidates={"nnx": lambda config: candidates.Sequences()},
    inputs=lambda c: st.just(
        (
            real(5, 6),
            chosen(5, 6, normal=_variances, tiny=_tiny_variances),
            chosen(5, 6, normal=_ones, tiny=_ragged),
        )
    ),
    modes=("eval",),
)
