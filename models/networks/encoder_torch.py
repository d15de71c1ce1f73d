"""Image to feature, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from models.networks.config import (
    AdaptiveAveragePoolingConfig,
    BackboneConfig,
    ConvNetConfig,
    FullConnectionConfig,
    LinearConfig,
    MLPConfig,
    ResNetConfig,
    SpatialSoftmaxConfig,
    ViTConfig,
)
from models.networks.convnet_torch import ConvNet
from models.networks.freezing_torch import Freezable
from models.networks.linear_torch import LinearNormActivation, MLPLayer
from models.networks.resnet_torch import ResNetPixUnshuffle
from models.networks.spatial_softmax_torch import SpatialSoftmax
from models.networks.vit_torch import ViT

if TYPE_CHECKING:
    from jaxtyping import Float

FeatureDim = int | tuple[int, ...]


def dense(input_dim: int, output_dim: int, cfg: MLPConfig | LinearConfig) -> nn.Module:
    """Build an MLP or one dense layer, by the config's type."""
    layer = MLPLayer if isinstance(cfg, MLPConfig) else LinearNormActivation
    return layer(input_dim, output_dim, cfg)  # pyright: ignore[reportArgumentType]  # chosen by the same type


class Encoder(Freezable):
    """Backbone and the layers behind it; any leading axes.

    Args:
        feature_dim: Width of the feature; without `fc_cfg` the feature map's own shape, as a tuple. Pooling and
            spatial softmax without an additional layer replace it by the width that they make.
        obs_shape: (C, H, W) of the image.
        backbone_cfg: The backbone, by the config's type.
        fc_cfg: The layers behind it, by the config's type.

    Raises:
        AssertionError: `feature_dim` does not fit.
        NotImplementedError: A backbone or layer of unknown type.
        ValueError: A ConvNet with a `scale_factor`, whose sizes are not what `conved_shape` says.

    Example:
        >>> import torch
        >>> from models.networks import ConvConfig
        >>> cfg = ConvNetConfig((4, 6), (ConvConfig("ReLU", kernel_size=3, stride=2, padding=1),) * 2)
        >>> Encoder(5, (3, 8, 12), cfg, LinearConfig("ReLU"))(torch.ones(2, 7, 3, 8, 12)).shape
        torch.Size([2, 7, 5])
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
        self.feature_dim = feature_dim
        self.encoder: Any = _backbone(obs_shape, backbone_cfg)
        self.last_channel: int = self.encoder.last_channel
        self.conved_shape: tuple[int, ...] = self.encoder.conved_shape
        self.conved_size: int = self.encoder.conved_size
        if isinstance(backbone_cfg, ViTConfig):
            self.fc = self._token_layers(fc_cfg)
        else:
            self.fc = self._map_layers(fc_cfg)

    def _token_layers(self, cfg: FullConnectionConfig) -> nn.Module:
        """Build what follows a vision transformer."""
        if cfg is None:
            assert self.feature_dim == self.conved_size, (
                f"Encoder: without fc_cfg expected feature_dim {self.conved_size}, got {self.feature_dim}"
            )
            return nn.Identity()
        if not isinstance(cfg, MLPConfig | LinearConfig):
            raise NotImplementedError(
                f"Encoder: behind a ViT expected MLPConfig, LinearConfig or None, got {type(cfg).__name__}"
            )
        return dense(self.conved_size, _width(self.feature_dim, cfg), cfg)

    def _map_layers(self, cfg: FullConnectionConfig) -> nn.Module:
        """Build what follows a feature map."""
        if cfg is None:
            shape = (self.last_channel, *self.conved_shape)
            given = tuple(self.feature_dim) if isinstance(self.feature_dim, list | tuple) else self.feature_dim
            assert given == shape, f"Encoder: without fc_cfg expected feature_dim {shape}, got {given}"
            return nn.Identity()
        feature_dim = _width(self.feature_dim, cfg)
        if isinstance(cfg, MLPConfig | LinearConfig):
            return nn.Sequential(nn.Flatten(), dense(self.conved_size, feature_dim, cfg))
        pooling, width = self._pooling(cfg)
        if cfg.additional_layer is None:
            self.feature_dim = width
            return nn.Sequential(pooling, nn.Flatten())
        return nn.Sequential(pooling, nn.Flatten(), dense(width, feature_dim, cfg.additional_layer))

    def _pooling(self, cfg: object) -> tuple[nn.Module, int]:
        """Build the layer that takes positions away; return it and the width behind it."""
        if isinstance(cfg, SpatialSoftmaxConfig):
            return SpatialSoftmax(cfg), 2 * self.last_channel
        if isinstance(cfg, AdaptiveAveragePoolingConfig):
            height, width = cfg.output_size  # pyright: ignore[reportGeneralTypeIssues]  # a pair by now
            return nn.AdaptiveAvgPool2d((height, width)), self.last_channel * height * width
        raise NotImplementedError(f"Encoder: unknown fc_cfg of type {type(cfg).__name__}")

    def forward(self, x: Float[Tensor, "*batch C H W"]) -> Float[Tensor, "*batch feature_dim"]:
        batch = x.shape[:-3]
        features = self.fc(self.encoder(x.reshape(-1, *self.obs_shape)))
        return features.reshape(*batch, *features.shape[1:])


def _backbone(obs_shape: tuple[int, int, int], cfg: object) -> nn.Module:
    if isinstance(cfg, ViTConfig):
        return ViT(obs_shape, cfg)
    if isinstance(cfg, ConvNetConfig):
        scales = [layer.scale_factor for layer in cfg.conv_cfgs]
        if any(scales):
            raise ValueError(f"Encoder: a ConvNet in an Encoder must not shuffle pixels, got scale factors {scales}")
        return ConvNet(obs_shape, cfg)
    if isinstance(cfg, ResNetConfig):
        return ResNetPixUnshuffle(obs_shape, cfg)
    raise NotImplementedError(f"Encoder: unknown backbone_cfg of type {type(cfg).__name__}")


def _width(feature_dim: FeatureDim, cfg: object) -> int:
    """Return a feature's width; a tuple is none."""
    assert isinstance(feature_dim, int), (
        f"Encoder: with a {type(cfg).__name__} feature_dim must be an int, got {feature_dim}"
    )
    return feature_dim
