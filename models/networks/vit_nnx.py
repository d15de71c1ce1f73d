"""Vision transformer, as encoder and as decoder, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import jax
import jax.numpy as jnp
from flax import nnx

from models.networks.activations_nnx import Activation
from models.networks.kernels_nnx import Linear
from models.networks.modules_nnx import RngsLike, as_rngs, default_float, dropout
from models.networks.multihead_nnx import MultiheadAttention
from models.networks.norms_nnx import LayerNorm
from models.networks.patches_nnx import PatchEmbed
from models.networks.sizes import check_patches

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float

    from models.networks.config import TransformerConfig, ViTConfig


class ViTEncoderBlock(nnx.Module):
    """Pre-norm self-attention and feed-forward; the positions are added to queries and keys alone.

    Args:
        cfg: Widths, heads, dropout and activation.
        rngs: Streams.
    """

    def __init__(self, cfg: TransformerConfig, *, rngs: nnx.Rngs) -> None:
        self.norm1 = LayerNorm(cfg.d_model)
        self.attn = MultiheadAttention(cfg.d_model, cfg.nhead, cfg.dropout, rngs=rngs)
        self.norm2 = LayerNorm(cfg.d_model)
        self.linear1 = Linear(cfg.d_model, cfg.dim_ff, rngs=rngs)
        self.linear2 = Linear(cfg.dim_ff, cfg.d_model, rngs=rngs)
        self.activation = Activation(cfg.hidden_activation, rngs=rngs)
        self.dropout = dropout(cfg.dropout, rngs)

    def __call__(self, x: Float[Array, "B L D"], pos: Float[Array, "1 L D"]) -> Float[Array, "B L D"]:
        h = self.norm1(x)
        x = x + self.dropout(self.attn(h + pos, h + pos, h))
        h = self.linear2(self.dropout(self.activation(self.linear1(self.norm2(x)))))
        return x + self.dropout(h)


class ViTDecoderBlock(nnx.Module):
    """Pre-norm attention of the queries to the memory, and feed-forward without dropout inside.

    Args:
        cfg: Widths, heads, dropout and activation.
        rngs: Streams.
    """

    def __init__(self, cfg: TransformerConfig, *, rngs: nnx.Rngs) -> None:
        self.norm_q = LayerNorm(cfg.d_model)
        self.norm_kv = LayerNorm(cfg.d_model)
        self.cross_attn = MultiheadAttention(cfg.d_model, cfg.nhead, cfg.dropout, rngs=rngs)
        self.norm_mlp = LayerNorm(cfg.d_model)
        self.linear1 = Linear(cfg.d_model, cfg.dim_ff, rngs=rngs)
        self.linear2 = Linear(cfg.dim_ff, cfg.d_model, rngs=rngs)
        self.activation = Activation(cfg.hidden_activation, rngs=rngs)
        self.dropout = dropout(cfg.dropout, rngs)

    def __call__(self, q: Float[Array, "B N D"], memory: Float[Array, "B 1 D"]) -> Float[Array, "B N D"]:
        m = self.norm_kv(memory)
        q = q + self.dropout(self.cross_attn(self.norm_q(q), m, m))
        return q + self.dropout(self.linear2(self.activation(self.linear1(self.norm_mlp(q)))))


def _embedding(shape: tuple[int, ...], rngs: nnx.Rngs) -> nnx.Param:
    return nnx.Param(0.02 * jax.random.normal(rngs.params(), shape, default_float()))


class ViT(nnx.Module):
    """Vision transformer: image to feature, or with `obs_shape` feature to image.

    Args:
        in_shape: (C, H, W) of the image, for a decoder (d_model,).
        cfg: The transformer.
        obs_shape: (C, H, W) of the image to make; None for an encoder.
        rngs: Streams.

    Raises:
        AssertionError: An encoder's `in_shape` is no image, or the patches do not tile it.

    Example:
        >>> from models.networks import TransformerConfig, ViTConfig
        >>> cfg = ViTConfig(2, TransformerConfig(8, 2, 12, 1))
        >>> ViT((3, 4, 6), cfg, rngs=0)(jnp.ones((2, 3, 4, 6))).shape
        (2, 8)
        >>> ViT((8,), cfg, obs_shape=(3, 4, 6), rngs=0)(jnp.ones((2, 8))).shape
        (2, 3, 4, 6)

    References:
        Dosovitskiy et al., 2021: An image is worth 16×16 words.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        cfg: ViTConfig,
        obs_shape: tuple[int, int, int] | None = None,
        *,
        rngs: RngsLike,
    ) -> None:
        rngs = as_rngs(rngs)
        if obs_shape is None:
            assert len(in_shape) == 3, f"ViT: an encoder's in_shape must be (C, H, W), got {tuple(in_shape)}"
        self.is_encoder = obs_shape is None
        self.in_shape = in_shape
        self.obs_shape = cast("tuple[int, int, int]", tuple(in_shape if obs_shape is None else obs_shape))
        self.patch_size = cfg.patch_size
        check_patches("ViT", self.obs_shape, cfg.patch_size)
        self.d_model = cfg.transformer_cfg.d_model
        self.n_patches = self.get_n_patches()
        self.conved_shape = (1, 1)
        self.conved_size = self.d_model
        if self.is_encoder:
            self._build_encoder(cfg, rngs)
        else:
            self._build_decoder(cfg, rngs)

    def _build_encoder(self, cfg: ViTConfig, rngs: nnx.Rngs) -> None:
        d = self.last_channel = self.d_model
        self.cls = cfg.cls_token
        self.patch_embed = PatchEmbed(d, self.patch_size, self.obs_shape, rngs=rngs)
        self.pos_emb = _embedding((1, self.n_patches, d), rngs)
        if self.cls:
            self.cls_token = _embedding((1, 1, d), rngs)
            self.cls_pos_emb = _embedding((1, 1, d), rngs)
        layers = range(cfg.transformer_cfg.n_layers)
        self.encoder_blocks = nnx.List([ViTEncoderBlock(cfg.transformer_cfg, rngs=rngs) for _ in layers])
        self.encoder_norm = LayerNorm(d)

    def _build_decoder(self, cfg: ViTConfig, rngs: nnx.Rngs) -> None:
        d = self.d_model
        self.last_channel = self.get_patch_dim()
        self.queries = _embedding((1, self.n_patches, d), rngs)
        self.kv_norm = LayerNorm(d)
        self.kv_proj = Linear(d, d, rngs=rngs)
        layers = range(cfg.transformer_cfg.n_layers)
        self.decoder_blocks = nnx.List([ViTDecoderBlock(cfg.transformer_cfg, rngs=rngs) for _ in layers])
        self.decoder_norm = LayerNorm(d)
        self.out_proj = Linear(d, self.last_channel, rngs=rngs)
        self.output_activation = Activation(cfg.decoder_output_activation, rngs=rngs)

    def __call__(self, x: Array, return_cls_token: bool = False) -> Array:
        """Encode (B, C, H, W) to (B, d_model), or decode (B, d_model) or (B, 1, d_model) to (B, C, H, W).

        Args:
            x: The input.
            return_cls_token: Ignored.
        """
        return self._encode(x) if self.is_encoder else self._decode(x)

    def _encode(self, x: Array) -> Array:
        tokens, pos = self.patch_embed(x), self.pos_emb[...]
        if self.cls:
            cls_token = jnp.broadcast_to(self.cls_token[...], (len(tokens), 1, self.d_model))
            tokens = jnp.concatenate([cls_token, tokens], 1)
            pos = jnp.concatenate([self.cls_pos_emb[...], pos], 1)
        for block in self.encoder_blocks:
            tokens = block(tokens, pos)
        tokens = self.encoder_norm(tokens)
        return tokens[:, 0] if self.cls else tokens.mean(1)

    def _decode(self, x: Array) -> Array:
        d = self.d_model
        if x.shape[1:] not in ((d,), (1, d)):
            raise ValueError(f"ViT: a decoder expects (B, {d}) or (B, 1, {d}), got shape {x.shape}")
        memory = self.kv_proj(self.kv_norm(x.reshape(-1, 1, d)))
        q = jnp.broadcast_to(self.queries[...], (len(memory), self.n_patches, d))
        for block in self.decoder_blocks:
            q = block(q, memory)
        return self.unpatchify(self.output_activation(self.out_proj(self.decoder_norm(q))))

    def patchify(self, imgs: Array) -> Array:
        """Cut images (B, C, H, W) into patches (B, N, p²·C), the channel fastest."""
        C, H, W = self.obs_shape
        p = self.patch_size
        cut = imgs.reshape(-1, C, H // p, p, W // p, p)
        return cut.transpose(0, 2, 4, 3, 5, 1).reshape(-1, self.n_patches, p * p * C)

    def unpatchify(self, patches: Array) -> Array:
        """Put patches (B, N, p²·C) together to images (B, C, H, W); the inverse of `patchify`."""
        C, H, W = self.obs_shape
        p = self.patch_size
        cut = patches.reshape(-1, H // p, W // p, p, p, C)
        return cut.transpose(0, 5, 1, 3, 2, 4).reshape(-1, C, H, W)

    def get_n_patches(self) -> int:
        """Return the number of patches of an image."""
        return (self.obs_shape[1] // self.patch_size) * (self.obs_shape[2] // self.patch_size)

    def get_patch_dim(self) -> int:
        """Return the number of values of a patch."""
        return self.patch_size**2 * self.obs_shape[0]

    @staticmethod
    def get_input_shape(obs_shape: tuple[int, int, int], cfg: ViTConfig) -> tuple[int]:
        """Return the shape of a decoder's input."""
        return (cfg.transformer_cfg.d_model,)
