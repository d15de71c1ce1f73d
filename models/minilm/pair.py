"""The claim on the sentence encoder, at small sizes with drawn weights; the real weights have a test of their own."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import parity
from models.minilm.config import MiniLMConfig

BATCH, LENGTH = 3, 7


def _reference(config: MiniLMConfig) -> Any:
    from models.minilm.torch import SentenceEncoder

    return SentenceEncoder(config)


def _nnx(config: MiniLMConfig) -> Any:
    from flax import nnx

    from models.minilm.nnx import SentenceEncoder

    return SentenceEncoder(config, rngs=nnx.Rngs(0))


def _inputs(config: MiniLMConfig) -> st.SearchStrategy[tuple[parity.Input, ...]]:
    return st.just((parity.tokens(BATCH, LENGTH, vocabulary=config.vocab_size), parity.mask(BATCH, LENGTH)))


SENTENCES = parity.Pair(
    name="MiniLM sentence encoder",
    reference=_reference,
    candidates={"nnx": _nnx},
    configs=parity.configs(
        MiniLMConfig,
        vocab_size=st.sampled_from((23, 11)),
        hidden_size=st.sampled_from((6, 12)),
        num_hidden_layers=st.sampled_from((2, 1)),
        num_attention_heads=st.sampled_from((3, 2)),
        intermediate_size=st.sampled_from((13, 5)),
        max_position_embeddings=st.just(17),
        layer_norm_eps=st.sampled_from((1e-12, 1e-3)),
    ),
    inputs=_inputs,
    modes=("eval",),
    checks=("forward", "param_grad"),
)
