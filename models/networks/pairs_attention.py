"""Claims on attention, transformers and what stands around them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import parity
from models.networks.config import AttentionConfig, SpatialSoftmaxConfig, TransformerConfig
from models.networks.recipes import Recipe, claim


@st.composite
def _attention(draw: st.DrawFn, axes: int) -> Recipe:
    """Heads and patches, given directly or as a config."""
    channels, nhead = draw(st.sampled_from(((6, 3), (6, 2), (4, 1), (8, 4))))
    patch = draw(st.sampled_from((1, 2)))
    given: dict[str, Any] = {"nhead": nhead, "patch_size": patch}
    arguments = draw(st.sampled_from((given, {"attn_cfg": AttentionConfig(**given)})))
    size = draw(st.sampled_from(((5, 3), (2, 4)) if patch == 1 else ((4, 6), (2, 4))))
    return Recipe(f"Attention{axes}d", {"channels": channels, **arguments}, ((2, channels, *size[:axes]),))


def transformer_configs(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[TransformerConfig]:
    """Draw a transformer; `fields` replace what is usual."""
    usual: dict[str, st.SearchStrategy[Any]] = {
        "d_model": st.just(8),
        "nhead": st.sampled_from((2, 4, 1)),
        "dim_ff": st.sampled_from((13, 7)),
        "n_layers": st.sampled_from((2, 1)),
        "dropout": st.sampled_from((0.0, 0.2)),
        "hidden_activation": st.sampled_from(("GELU", "ReLU")),
    }
    return parity.configs(TransformerConfig, **{**usual, **fields})


def _transformer(input_dim: int, output_dim: int | None, cfg: TransformerConfig) -> Recipe:
    arguments = {"input_dim": input_dim, "output_dim": output_dim, "cfg": cfg}
    return Recipe("TransformerLayer", arguments, ((3, 5, input_dim),))


def _positions(d_model: int, dropout: float) -> Recipe:
    return Recipe("PositionalEncoding", {"d_model": d_model, "dropout": dropout, "max_len": 7}, ((3, 5, d_model),))


def _patches(emb_dim: int, size: tuple[int, int]) -> Recipe:
    obs_shape = (3, 2 * size[0], 2 * size[1])
    return Recipe("PatchEmbed", {"emb_dim": emb_dim, "patch_size": 2, "obs_shape": obs_shape}, ((2, *obs_shape),))


def _spatial_softmax(cfg: SpatialSoftmaxConfig, size: tuple[int, int]) -> Recipe:
    return Recipe("SpatialSoftmax", {"cfg": cfg}, ((2, 3, *size),))


ATTENTION_1D = claim("Attention1d", _attention(axes=1))
ATTENTION_2D = claim("Attention2d", _attention(axes=2))
TRANSFORMER = claim(
    "TransformerLayer",
    st.builds(
        _transformer,
        st.sampled_from((3, 8)),
        st.sampled_from((5, None)),
        transformer_configs(output_activation=st.sampled_from(("Tanh", "Identity"))),
    ),
)
POSITIONS = claim("PositionalEncoding", st.builds(_positions, st.sampled_from((6, 4)), st.sampled_from((0.0, 0.3))))
PATCHES = claim("PatchEmbed", st.builds(_patches, st.sampled_from((5, 7)), st.sampled_from(((2, 3), (1, 4)))))
SPATIAL_SOFTMAX = claim(
    "SpatialSoftmax",
    st.builds(
        _spatial_softmax,
        parity.configs(
            SpatialSoftmaxConfig,
            temperature=st.sampled_from((1.0, 0.3)),
            is_argmax=st.booleans(),
            is_straight_through=st.booleans(),
        ),
        st.sampled_from(((4, 7), (3, 1), (1, 5))),
    ),
)
