"""Feature to image, torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from models.networks.config import (
    BackboneConfig,
    ConvNetConfig,
    FullConnectionConfig,
    LinearConfig,
    MLPConfig,
    ResNetConfig,
    ViTConfig,
)
from models.networks.convnet_torch import ConvTranspose
from models.networks.encoder_torch import FeatureDim, dense
from models.networks.freezing_torch import Freezable
from models.networks.resnet_torch import ResNetPixShuffle
from models.networks.vit_torch import ViT

if TYPE_CHECKING:
    from jaxtyping import Float


class Decoder(Freezable):
    """The layers in front of the backbone, and the backbone; any leading axes.

    Args:
        feature_dim: Width of the feature; or the shape of the feature map, as a tuple, and no `fc_cfg`.
        obs_shape: (C, H, W) of the image.
        backbone_cfg: The backbone, by the config's type.
        fc_cfg: The layers in front of it, by the config's type.

    Raises:
        AssertionError: `feature_dim` does not fit, or an int without `fc_cfg`.
        NotImplementedError: A backbone of unknown type.

    Example:
        >>> import torch
        >>> from models.networks import ConvConfig
        >>> cfg = ConvNetConfig((6, 4), (ConvConfig("ReLU", kernel_size=3, stride=2, padding=1),) * 2)
        >>> Decoder(5, (3, 8, 12), cfg, LinearConfig("ReLU"))(torch.ones(2, 7, 5)).shape
        torch.Size([2, 7, 3, 8, 12])
    """

    def __init__(
        self,
        feature_dim: FeatureDim,
        obs_shape: tuple[int, int, int],
        backbone_cfg: BackboneConfig,
        fc_cfg: FullConnectionConfig = None,
    ) -> None:
        super().__init__()
        self.obs_shape = tuple(obs_shape)
        self.feature_dim = tuple(feature_dim) if isinstance(feature_dim, list) else feature_dim
        backbone = _backbone(backbone_cfg)
        self.input_shape: tuple[int, ...] = backbone.get_input_shape(obs_shape, backbone_cfg)
        self._check_feature(fc_cfg, isinstance(backbone_cfg, ViTConfig))
        self.fc: nn.Module = nn.Identity()
        if isinstance(self.feature_dim, int) and isinstance(fc_cfg, MLPConfig | LinearConfig):
            self.fc = dense(self.feature_dim, math.prod(self.input_shape), fc_cfg)
        self.decoder: nn.Module = backbone(self.input_shape, obs_shape=obs_shape, cfg=backbone_cfg)

    def _check_feature(self, fc_cfg: FullConnectionConfig, is_vit: bool) -> None:
        if not isinstance(self.feature_dim, int):
            assert self.feature_dim == self.input_shape, (
                f"Decoder: expected feature_dim {self.input_shape}, got {self.feature_dim}"
            )
        elif fc_cfg is None:
            fits = is_vit and self.feature_dim == self.input_shape[0]
            assert fits, f"Decoder: without fc_cfg expected feature_dim {self.input_shape}, got {self.feature_dim}"

    def forward(self, x: Float[Tensor, "*batch feature_dim"]) -> Float[Tensor, "*batch *obs_shape"]:
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
