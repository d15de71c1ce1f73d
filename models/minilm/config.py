"""What a sentence encoder is built from; the defaults are those of all-MiniLM-L6-v2."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MiniLMConfig:
    """Sizes of a BERT encoder.

    Attributes:
      vocab_size: word pieces V.
      hidden_size: width D of the residual stream, a multiple of the number of heads.
      num_hidden_layers: encoder layers.
      num_attention_heads: heads H.
      intermediate_size: width of the feed-forward layers.
      max_position_embeddings: longest sequence.
      type_vocab_size: kinds of segments.
      layer_norm_eps: added to variances.
      pad_token_id: the word piece that fills up short sentences; its vector is not trained.
    """

    vocab_size: int = 30522
    hidden_size: int = 384
    num_hidden_layers: int = 6
    num_attention_heads: int = 12
    intermediate_size: int = 1536
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
