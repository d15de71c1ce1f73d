"""Attention between the positions (or patches) of a feature map, Flax NNX; channels first, as in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx

from models.networks.config import AttentionConfig, ConvConfig
from models.networks.convolution_nnx import ConvNormActivation, ConvNormActivation1d
from models.networks.modules_nnx import RngsLike, as_rngs
from models.networks.shuffle_nnx import HorizonShuffle, HorizonUnShuffle, PixelShuffle, PixelUnshuffle
from models.networks.softmax_nnx import softmax

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float

_POINTWISE = ConvConfig(activation="Identity", kernel_size=1, stride=1, padding=0)


def head_major_attention(qkv: Array, nhead: int) -> Array:
    """Attend with channels that hold, head after head, that head's q, k and v.

    Args:
        qkv: (B, 3·C, L), float.
        nhead: Number of heads.

    Returns:
        (B, C, L), heads concatenated in order.
    """
    B, K, L = qkv.shape
    d = K // (3 * nhead)
    q, k, v = jnp.moveaxis(qkv.reshape(B, nhead, 3, d, L), 2, 0)
    scale = d**-0.25  # on both factors
    weights = softmax(jnp.einsum("bnct,bncs->bnts", q * scale, k * scale))
    return jnp.einsum("bnts,bncs->bnct", weights, v).reshape(B, K // 3, L)


class Attention1d(nnx.Module):
    """x + projection of the attention between the steps (or patches of steps) of x.

    Args:
        channels: Channels of the input.
        nhead: Number of heads; None takes it and the patch size from `attn_cfg`.
        patch_size: Steps per patch.
        attn_cfg: Both numbers.
        rngs: Streams.

    Raises:
        AssertionError: Neither `nhead` nor `attn_cfg`, or heads that do not divide the channels.

    Example:
        >>> Attention1d(6, nhead=3, rngs=0)(jnp.ones((2, 6, 5))).shape
        (2, 6, 5)
    """

    def __init__(
        self,
        channels: int,
        nhead: int | None = None,
        patch_size: int = 1,
        attn_cfg: AttentionConfig | None = None,
        *,
        rngs: RngsLike,
    ) -> None:
        rngs = as_rngs(rngs)
        if nhead is None:
            assert attn_cfg is not None, "Attention1d: give nhead or attn_cfg"
            nhead, patch_size = attn_cfg.nhead, attn_cfg.patch_size
        assert channels % nhead == 0, f"Attention1d: {channels} channels do not split into {nhead} heads"
        self.channels = channels
        self.nhead = nhead
        self.patch_size = patch_size
        self.qkv = ConvNormActivation1d(channels, 3 * channels, _POINTWISE, rngs=rngs)
        self.unshuffle = HorizonUnShuffle(patch_size)
        self.shuffle = HorizonShuffle(patch_size)
        self.proj_out = ConvNormActivation1d(channels, channels, _POINTWISE, rngs=rngs)

    def __call__(self, x: Float[Array, "B C *space"]) -> Float[Array, "B C *space"]:
        flat = x.reshape(*x.shape[:2], -1)
        attended = head_major_attention(self.unshuffle(self.qkv(flat)), self.nhead)
        return (flat + self.proj_out(self.shuffle(attended))).reshape(x.shape)


class Attention2d(nnx.Module):
    """x + projection of the attention between the pixels (or patches) of x.

    Args:
        channels: Channels of the input.
        nhead: Number of heads; None takes it and the patch size from `attn_cfg`.
        patch_size: Side of a patch; None takes both numbers from `attn_cfg`.
        attn_cfg: Both numbers.
        rngs: Streams.

    Raises:
        AssertionError: A number and `attn_cfg` are both missing, or heads that do not divide the channels.

    Example:
        >>> Attention2d(6, nhead=3, patch_size=2, rngs=0)(jnp.ones((2, 6, 4, 8))).shape
        (2, 6, 4, 8)
    """

    def __init__(
        self,
        channels: int,
        nhead: int | None = None,
        patch_size: int | None = 1,
        attn_cfg: AttentionConfig | None = None,
        *,
        rngs: RngsLike,
    ) -> None:
        rngs = as_rngs(rngs)
        if nhead is None or patch_size is None:
            assert attn_cfg is not None, "Attention2d: give nhead and patch_size, or attn_cfg"
            nhead, patch_size = attn_cfg.nhead, attn_cfg.patch_size
        assert channels % nhead == 0, f"Attention2d: {channels} channels do not split into {nhead} heads"
        self.channels = channels
        self.nhead = nhead
        self.patch_size = patch_size
        self.qkv = ConvNormActivation(channels, 3 * channels, _POINTWISE, rngs=rngs)
        self.unshuffle = PixelUnshuffle(patch_size)
        self.shuffle = PixelShuffle(patch_size)
        self.proj_out = ConvNormActivation(channels, channels, _POINTWISE, rngs=rngs)

    def __call__(self, x: Float[Array, "B C H W"]) -> Float[Array, "B C H W"]:
        patches = self.unshuffle(self.qkv(x))
        attended = head_major_attention(patches.reshape(*patches.shape[:2], -1), self.nhead)
        attended = attended.reshape(*attended.shape[:2], *patches.shape[2:])
        return x + self.proj_out(self.shuffle(attended))
