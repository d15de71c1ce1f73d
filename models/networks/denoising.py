"""Two networks that denoise small images, in both frameworks: targets and sources for `weight-bridge`.

`models.networks.denoising:unet_nnx` and `:vit_nnx` are targets, `:unet_torch` and `:vit_torch` are sources.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.networks.config import ConvConfig, LinearConfig, TransformerConfig, UNetConfig, ViTConfig

if TYPE_CHECKING:
    from flax import nnx as flax_nnx
    from torch import nn

OBS_SHAPE = (1, 16, 16)
FEATURE_DIM = 128

UNET = UNetConfig(
    channels=(16, 32),
    conv_cfg=ConvConfig("SiLU", kernel_size=3, stride=1, padding=1, norm="group", norm_cfg={"num_groups": 4}),
    cond_pred_scale=True,
    nhead=4,
    has_attn=True,
)
VIT = ViTConfig(
    patch_size=4,
    transformer_cfg=TransformerConfig(d_model=128, nhead=4, dim_ff=512, n_layers=2, dropout=0.0),
)
DENSE = LinearConfig("Identity")


def unet_torch() -> nn.Module:
    """The torch U-Net, newly initialised; its condition is the noise level, (B, 1)."""
    from models.networks.torch import ConditionalUnet2d

    return ConditionalUnet2d(1, OBS_SHAPE, UNET)


def unet_nnx() -> flax_nnx.Module:
    """The NNX U-Net, newly initialised."""
    from models.networks.jax import ConditionalUnet2d

    return ConditionalUnet2d(1, OBS_SHAPE, UNET, rngs=0)


def vit_torch() -> nn.Module:
    """The torch vision transformers, newly initialised: an encoder and a decoder, each with a dense layer."""
    from torch import nn

    from models.networks.torch import Decoder, Encoder

    encoder = Encoder(FEATURE_DIM, OBS_SHAPE, VIT, DENSE)
    return nn.Sequential(encoder, Decoder(FEATURE_DIM, OBS_SHAPE, VIT, DENSE))


def vit_nnx() -> flax_nnx.Module:
    """The NNX vision transformers, newly initialised."""
    from models.networks.jax import Decoder, Encoder
    from models.networks.modules_nnx import Sequential

    encoder = Encoder(FEATURE_DIM, OBS_SHAPE, VIT, DENSE, rngs=0)
    return Sequential([encoder, Decoder(FEATURE_DIM, OBS_SHAPE, VIT, DENSE, rngs=1)])
