"""Embeds sentences in JAX with pretrained torch weights and prints how alike they are.

usage: python -m examples.minilm_embed
       python -m examples.minilm_embed "A man is eating food." "Someone has a meal."
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer
from flax import nnx

import weight_bridge
from models.minilm import pretrained

SENTENCES = ["A man is eating food.", "Someone has a meal.", "The stock market fell sharply.", "Shares lost value."]


def main(
    sentences: Annotated[list[str] | None, typer.Argument(help="What to embed; four examples by default.")] = None,
) -> None:
    """Convert the weights of the installed package, embed, print cosine similarities."""
    texts = sentences or SENTENCES
    model: Any = weight_bridge.load(pretrained.nnx(), pretrained.checkpoint())
    vectors = np.asarray(nnx.jit(lambda model, *inputs: model(*inputs))(model, *pretrained.tokenize(texts))["sentence"])
    for row, text in zip(vectors @ vectors.T, texts, strict=True):
        print(" ".join(f"{similarity:6.3f}" for similarity in row), "", text)


if __name__ == "__main__":
    typer.run(main)
