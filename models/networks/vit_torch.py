"""Vision transformer, as encoder and as decoder, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from models.networks.activations_torch import Activation
from models.networks.patches_torch import PatchEmbed
from models.networks.sizes import check_patches

if TYPE_CHECKING:
    from jaxtyping import Float

    from models.networks.config import TransformerConfig, ViTConfig


class ViTEncoderBlock(nn.Module):
    """Pre-norm self-attention and feed-forward; the positions are added to queries and keys alone.

    Args:
        cfg: Widths, heads, dropout and activation.
    """

    def __init__(self, cfg: TransformerConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(cfg.d_model)
        self.attn = nn.MultiheadAttention(cfg.d_model, cfg.nhead, dropout=cfg.dropout, batch_first=True)
        self.norm2 = nn.LayerNorm(cfg.d_model)
        self.linear1 = nn.Linear(cfg.d_model, cfg.dim_ff)
        self.linear2 = nn.Linear(cfg.dim_ff, cfg.d_model)
        self.activation = Activation(cfg.hidden_activation)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, x: Float[Tensor, "B L D"], pos: Float[Tensor, "1 L D"]) -> Float[Tensor, "B L D"]:
        h = self.norm1(x)
        x = x + self.dropout(self.attn(h + pos, h + pos, h)[0])
        h = self.linear2(self.dropout(self.activation(self.linear1(self.norm2(x)))))
        return x + self.dropout(h)


class ViTDecoderBlock(nn.Module):
    """Pre-norm attention of the queries to the memory, and feed-forward without dropout inside.

    Args:
        cfg: Widths, heads, dropout and activation.
    """

    def __init__(self, cfg: TransformerConfig) -> None:
        super().__init__()
        self.norm_q = nn.LayerNorm(cfg.d_model)
        self.norm_kv = nn.LayerNorm(cfg.d_model)
        self.cross_attn = nn.MultiheadAttention(cfg.d_model, cfg.nhead, dropout=cfg.dropout, batch_first=True)
        self.norm_mlp = nn.LayerNorm(cfg.d_model)
        self.linear1 = nn.Linear(cfg.d_model, cfg.dim_ff)
        self.linear2 = nn.Linear(cfg.dim_ff, cfg.d_model)
        self.activation = Activation(cfg.hidden_activation)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, q: Float[Tensor, "B N D"], memory: Float[Tensor, "B 1 D"]) -> Float[Tensor, "B N D"]:
        m = self.norm_kv(memory)
        q = q + self.dropout(self.cross_attn(self.norm_q(q), m, m)[0])
        return q + self.dropout(self.linear2(self.activation(self.linear1(self.norm_mlp(q)))))


class ViT(nn.Module):
    """Vision transformer: image to feature, or with `obs_shape` feature to image.

    Args:
        in_shape: (C, H, W) of the image, for a decoder (d_model,).
        cfg: The transformer.
        obs_shape: (C, H, W) of the image to make; None for an encoder.

    Raises:
        AssertionError: An encoder's `in_shape` is no image, or the patches do not tile it.

    Example:
        >>> from models.networks import TransformerConfig, ViTConfig
        >>> cfg = ViTConfig(2, TransformerConfig(8, 2, 12, 1))
        >>> ViT((3, 4, 6), cfg)(torch.ones(2, 3, 4, 6)).shape
        torch.Size([2, 8])
        >>> ViT((8,), cfg, obs_shape=(3, 4, 6))(torch.ones(2, 8)).shape
        torch.Size([2, 3, 4, 6])

    References:
        Dosovitskiy et al., 2021: An image is worth 16×16 words.
    """

    def __init__(
        self, in_shape: tuple[int, ...], cfg: ViTConfig, obs_shape: tuple[int, int, int] | None = None
    ) -> None:
        super().__init__()
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
            self._build_encoder(cfg)
        else:
            self._build_decoder(cfg)

    def _build_encoder(self, cfg: ViTConfig) -> None:
        d = self.last_channel = self.d_model
        self.cls = cfg.cls_token
        self.patch_embed = PatchEmbed(d, self.patch_size, self.obs_shape)
        self.pos_emb = nn.Parameter(0.02 * torch.randn(1, self.n_patches, d))
        if self.cls:
            self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, d))
            self.cls_pos_emb = nn.Parameter(0.02 * torch.randn(1, 1, d))
        layers = range(cfg.transformer_cfg.n_layers)
        self.encoder_blocks = nn.ModuleList([ViTEncoderBlock(cfg.transformer_cfg) for _ in layers])
        self.encoder_norm = nn.LayerNorm(d)

    def _build_decoder(self, cfg: ViTConfig) -> None:
        d = self.d_model
        self.last_channel = self.get_patch_dim()
        self.queries = nn.Parameter(0.02 * torch.randn(1, self.n_patches, d))
        self.kv_norm = nn.LayerNorm(d)
        self.kv_proj = nn.Linear(d, d)
        layers = range(cfg.transformer_cfg.n_layers)
        self.decoder_blocks = nn.ModuleList([ViTDecoderBlock(cfg.transformer_cfg) for _ in layers])
        self.decoder_norm = nn.LayerNorm(d)
        self.out_proj = nn.Linear(d, self.last_channel)
        self.output_activation = Activation(cfg.decoder_output_activation)

    def forward(self, x: Tensor, return_cls_token: bool = False) -> Tensor:
        """Encode (B, C, H, W) to (B, d_model), or decode (B, d_model) or (B, 1, d_model) to (B, C, H, W).

        Args:
            x: The input.
            return_cls_token: Ignored.
        """
        return self._encode(x) if self.is_encoder else self._decode(x)

    def _encode(self, x: Tensor) -> Tensor:
        tokens, pos = self.patch_embed(x), self.pos_emb
        if self.cls:
            tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1)
            pos = torch.cat([self.cls_pos_emb, pos], 1)
        for block in self.encoder_blocks:
            tokens = block(tokens, pos)
        tokens = self.encoder_norm(tokens)
        return tokens[:, 0] if self.cls else tokens.mean(1)

    def _decode(self, x: Tensor) -> Tensor:
        d = self.d_model
        if tuple(x.shape[1:]) not in ((d,), (1, d)):
            raise ValueError(f"ViT: a decoder expects (B, {d}) or (B, 1, {d}), got shape {tuple(x.shape)}")
        memory = self.kv_proj(self.kv_norm(x.reshape(-1, 1, d)))
        q = self.queries.expand(len(memory), -1, -1)
        for block in self.decoder_blocks:
            q = block(q, memory)
        return self.unpatchify(self.output_activation(self.out_proj(self.decoder_norm(q))))

    def patchify(self, imgs: Tensor) -> Tensor:
        """Cut images (B, C, H, W) into patches (B, N, p²·C), the channel fastest."""
        C, H, W = self.obs_shape
        p = self.patch_size
        cut = imgs.reshape(-1, C, H // p, p, W // p, p)
        return cut.permute(0, 2, 4, 3, 5, 1).reshape(-1, self.n_patches, p * p * C)

    def unpatchify(self, patches: Tensor) -> Tensor:
        """Put patches (B, N, p²·C) together to images (B, C, H, W); the inverse of `patchify`."""
        C, H, W = self.obs_shape
        p = self.patch_size
        cut = patches.reshape(-1, H // p, W // p, p, p, C)
        return cut.permute(0, 5, 1, 3, 2, 4).reshape(-1, C, H, W)

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
