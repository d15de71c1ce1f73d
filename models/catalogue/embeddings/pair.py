"""The embedding family's claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flax import nnx
from hypothesis import strategies as st

from models.catalogue.embeddings import nnx as candidates
from models.catalogue.embeddings import torch as references
from models.catalogue.embeddings.config import EmbeddingConfig
from models.catalogue.inputs import chosen, integers, scattered
from parity import Input, Pair

CONFIG = EmbeddingConfig()


def _emptied(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Bags with some padding; the last has nothing else."""
    ids = np.where(rng.random(shape) < 0.3, CONFIG.padding, rng.integers(0, CONFIG.longest, shape))
    ids[-1] = CONFIG.padding
    return ids


def _claim(name: str, reference: Callable[..., Any], candidate: Callable[..., Any], ids: Input) -> Pair:
    return Pair(
        name=f"embeddings.{name}",
        reference=reference,
        candidates={"nnx": lambda config: candidate(config, rngs=nnx.Rngs(0))},
        configs=st.just(CONFIG),
        inputs=lambda c: st.just((ids,)),
        modes=("eval",),
    )


LANGUAGE = _claim(
    "language",
    references.Language,
    candidates.Language,
    chosen(3, 5, low=integers(0, 200), all=integers(0, CONFIG.vocabulary)),
)
BAG = _claim("bag", references.Bag, candidates.Bag, chosen(4, 5, plain=integers(2, CONFIG.longest), padded=_emptied))
BOUNDED = _claim("bounded", references.Bounded, candidates.Bounded, chosen(3, 5, any=integers(0, CONFIG.longest)))
FREQUENCY = _claim(
    "frequency", references.Frequency, candidates.Frequency, chosen(3, 5, repeated=scattered(0, CONFIG.longest))
)
