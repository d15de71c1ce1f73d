"""Networks for images, sequences and features, as verified pairs of torch and Flax NNX modules.

The configs here serve both frameworks; `models.networks.torch` and `models.networks.jax` hold the modules.
Importing this package loads neither framework.
"""

from __future__ import annotations

from models.networks.config import (
    AdaptiveAveragePoolingConfig,
    AttentionConfig,
    ContrastiveLearningConfig,
    ConvConfig,
    ConvNetConfig,
    DecoderConfig,
    EncoderConfig,
    LinearConfig,
    MLPConfig,
    ResNetConfig,
    SoftmaxTransConfig,
    SpatialSoftmaxConfig,
    TransformerConfig,
    UNetConfig,
    ViTConfig,
    load_config,
)

__all__ = [
    "AdaptiveAveragePoolingConfig",
    "AttentionConfig",
    "ContrastiveLearningConfig",
    "ConvConfig",
    "ConvNetConfig",
    "DecoderConfig",
    "EncoderConfig",
    "LinearConfig",
    "MLPConfig",
    "ResNetConfig",
    "SoftmaxTransConfig",
    "SpatialSoftmaxConfig",
    "TransformerConfig",
    "UNetConfig",
    "ViTConfig",
    "load_config",
]
