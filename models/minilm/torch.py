"""The reference: transformers' torch `BertModel`, and the sentence vector made of its hidden states."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn.functional import normalize
from transformers import BertConfig, BertModel

if TYPE_CHECKING:
    from models.minilm.config import MiniLMConfig


class SentenceEncoder(BertModel):
    """`BertModel` under its own names, with mean pooling and unit length behind it.

    Args:
      config: Sizes; dropout is off.
    """

    def __init__(self, config: MiniLMConfig) -> None:
        options: dict[str, Any] = {"hidden_act": "gelu", "attn_implementation": "eager"}
        options |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        super().__init__(BertConfig(**asdict(config), **options))

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:  # (B, L), (B, L) -> (B, D) and others
        """Return what each token became, what the first token says, and the sentence's unit vector.

        Args:
          ids: Word pieces, int[B, L].
          mask: False for padding, bool[B, L].
        """
        found: Any = super().forward(input_ids=ids, attention_mask=mask)
        hidden = found.last_hidden_state
        weight = mask[..., None].to(hidden.dtype)
        mean = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return {"hidden": hidden, "pooled": found.pooler_output, "sentence": normalize(mean, dim=1)}
