"""The attention family's claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flax import nnx
from hypothesis import strategies as st

from models.catalogue.attention import nnx as candidates
from models.catalogue.attention import positions_nnx, positions_torch
from models.catalogue.attention import torch as references
from models.catalogue.attention.config import AttentionConfig
from models.catalogue.inputs import chosen, normal
from parity import Input, Pair, real, tokens


def _everything(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.ones(shape, bool)


def _padded(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Padding on the left or the right of rows of different lengths, never all of a row."""
    batch, length = shape
    kept = rng.integers(1, length + 1, batch)[:, None]
    steps = np.arange(length)[None, :]
    return np.where(rng.random((batch, 1)) < 0.5, steps < kept, steps >= length - kept)


def keep(*shape: int) -> Input:
    """A mask that is true where a step counts."""
    return chosen(*shape, normal=_everything, padded=_padded, huge=_padded)


def _huge(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Large enough for logits beyond ten thousand."""
    return 300.0 * rng.standard_normal(shape)


def _claim(
    name: str, reference: Callable[..., Any], candidate: Callable[..., Any], *shapes: Callable[[AttentionConfig], Input]
) -> Pair:
    return Pair(
        name=f"attention.{name}",
        reference=reference,
        candidates={"nnx": lambda config: candidate(config, rngs=nnx.Rngs(0))},
        configs=st.just(AttentionConfig()),
        inputs=lambda c: st.just(tuple(shape(c) for shape in shapes)),
        modes=("eval",),
    )


SELF_ATTENTION = _claim(
    "self_attention", references.SelfAttention, candidates.SelfAttention,
    lambda c: chosen(3, 5, c.width, normal=normal, huge=_huge), lambda c: keep(3, 5),
)  # fmt: skip
STOCK_ATTENTION = _claim(
    "stock_attention", references.StockAttention, candidates.StockAttention,
    lambda c: real(3, 5, c.width), lambda c: keep(3, 5),
)  # fmt: skip
DROPPED_ATTENTION = Pair(
    name="attention.dropped_attention",
    reference=lambda config: references.StockAttention(config, 0.3),
    candidates={"nnx": lambda config: candidates.StockAttention(config, 0.3, rngs=nnx.Rngs(0))},
    configs=st.just(AttentionConfig()),
    inputs=lambda c: st.just((real(3, 5, c.width), keep(3, 5))),
)
WINDOWS = _claim("windows", references.Windows, candidates.Windows, lambda c: real(3, 3 * c.window, c.width))
ALIBI = _claim("alibi", references.Alibi, candidates.Alibi, lambda c: real(3, 5, c.width))
BUCKETS = _claim("buckets", references.Buckets, candidates.Buckets, lambda c: real(3, 13, c.width))
ROTARY = _claim("rotary", positions_torch.RotaryAttention, positions_nnx.RotaryAttention, lambda c: real(3, 9, c.width))
LEARNED_POSITIONS = _claim(
    "learned_positions", positions_torch.LearnedPositions, positions_nnx.LearnedPositions,
    lambda c: tokens(3, 7, vocabulary=13), lambda c: keep(3, 7),
)  # fmt: skip
DECODER = _claim("decoder", positions_torch.Decoder, positions_nnx.Decoder, lambda c: real(3, 7, c.size))
