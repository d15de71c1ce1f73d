"""Feature to image, Flax NNX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from flax import nnx

from models.networks.config import (
    BackboneConfig,
    ConvNetConfig,
    FullConnectionConfig,
    LinearConfig,
    MLPConfig,
    ResNetConfig,
    ViTConfig,
)
from models.networks.convnet_nnx import ConvTranspose
from models.networks.encoder_nnx import FeatureDim, dense
from models.networks.freezing_nnx import Freezable
from models.networks.modules_nnx import Identity, RngsLike, as_rngs
from models.networks.resnet_nnx import ResNetPixShuffle
from models.networks.vit_nnx import ViT

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float


class Decoder(Freezable):
    """The layers in front of the backbone, and the backbone; any leading axes.

    Args:
        feature_dim: Width of the feature; or the shape of the feature map, as a tuple, and no `fc_cfg`.
        obs_shape: (C, H, W) of the image.
        backbone_cfg: The backbone, by the config's type.
        fc_cfg: The layers in front of it, by the config's type.
        rngs: Streams.

    Raises:
        AssertionError: `feature_dim` does not fit, or an int without `fc_cfg`.
        NotImplementedError: A backbone of unknown type.

    Example:
        >>> import jax.numpy as jnp
        >>> from models.networks import ConvConfig
        >>> cfg = ConvNetConfig((6, 4), (ConvConfig("ReLU", kernel_size=3, stride=2, padding=1),) * 2)
        >>> Decoder(5, (3, 8, 12), cfg, LinearConfig("ReLU"), rngs=0)(jnp.ones((2, 7, 5))).shape
        (2, 7, 3, 8, 12)
    """

    def __init__(
        self,
        feature_dim: FeatureDim,
        obs_shape: tuple[int, int, int],
        backbone_cfg: BackboneConfig,
        fc_cfg: FullConnectionConfig = None,
        *,
        rngs: RngsLike,
    ) -> None:
        rngs = as_rngs(rngs)
        self.obs_shape = tuple(obs_shape)
        self.feature_dim = tuple(feature_dim) if isinstance(feature_dim, list) else feature_dim
        backbone = _backbone(backbone_cfg)
        self.input_shape: tuple[int, ...] = backbone.get_input_shape(obs_shape, backbone_cfg)
        self._check_feature(fc_cfg, isinstance(backbone_cfg, ViTConfig))
        self.fc: nnx.Module = Identity()
        if isinstance(self.feature_dim, int) and isinstance(fc_cfg, MLPConfig | LinearConfig):
            self.fc = dense(self.feature_dim, math.prod(self.input_shape), fc_cfg, rngs)
        self.decoder: nnx.Module = backbone(self.input_shape, obs_shape=obs_shape, cfg=backbone_cfg, rngs=rngs)

    def _check_feature(self, fc_cfg: FullConnectionConfig, is_vit: bool) -> None:
        if not isinstance(self.feature_dim, int):
            assert self.feature_dim == self.input_shape, (
                f"Decoder: expected feature_dim {self.input_shape}, got {self.feature_dim}"
            )
        elif fc_cfg is None:
            fits = is_vit and self.feature_dim == self.input_shape[0]
            assert fits, f"Decoder: without fc_cfg expected feature_dim {self.input_shape}, got {self.feature_dim}"

    def __call__(self, x: Float[Array, "*batch feature_dim"]) -> Float[Array, "*batch *obs_shape"]:
        shape = (self.feature_dim,) if isinstance(self.feature_dim, int) else self.feature_dim
        batch = x.shape[: x.ndim - len(shape)]
        features = self.fc(x.reshape(-1, *shape)).reshape(-1, *self.input_shape)
        return self.decoder(features).reshape(*batch, *self.obs_shape)


def _backbone(cfg: object) -> Any:
    kinds = {ConvNetConfig: ConvTranspose, ResNetConfig: ResNetPixShuffle, ViTConfig: ViT}
    for kind, backbone in kinds.items():
        if isinstance(cfg, kind):
            return backbone
    raise NotImplementedError(f"Decoder: unknown backbone_cfg of type {type(cfg).__name__}")
