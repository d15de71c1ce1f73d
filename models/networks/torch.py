"""The networks in torch: every public name."""

from __future__ import annotations

from models.networks.activations_torch import Activation
from models.networks.attention_torch import Attention1d, Attention2d
from models.networks.codebook_torch import BSQCodebook
from models.networks.contrastive_torch import ContrastiveLearningLoss
from models.networks.convnet_torch import ConvNet, ConvTranspose
from models.networks.convolution_torch import ConvNormActivation, ConvNormActivation1d, ResidualBlock
from models.networks.decoder_torch import Decoder
from models.networks.distribution_torch import Distribution
from models.networks.divergence_torch import kl_balancing, kl_divergence
from models.networks.encoder_torch import Encoder
from models.networks.frequency_loss_torch import FocalFrequencyLoss
from models.networks.hyper_blocks_torch import (
    HyperConditionalResidualBlock1d,
    HyperConditionalResidualBlock2d,
)
from models.networks.hypernet_torch import HyperNet
from models.networks.linear_torch import LinearNormActivation, MLPLayer
from models.networks.losses_torch import (
    binary_focal_loss,
    charbonnier,
    cross_entropy,
    focal_loss,
    soft_target_cross_entropy,
)
from models.networks.norms_torch import get_norm
from models.networks.optimizers_torch import get_optimizer
from models.networks.patches_torch import PatchEmbed
from models.networks.resampling_torch import Downsample1d, Downsample2d, Upsample1d, Upsample2d
from models.networks.resnet_torch import ResNetPixShuffle, ResNetPixUnshuffle
from models.networks.seeds_torch import torch_fix_seed
from models.networks.shuffle_torch import HorizonShuffle, HorizonUnShuffle
from models.networks.sizes import (
    conv_out,
    conv_out_shape,
    conv_transpose_in,
    conv_transpose_in_shape,
    conv_transpose_out,
    conv_transpose_out_shape,
    output_padding,
    output_padding_shape,
)
from models.networks.softmax_torch import gumbel_softmax, log_softmax, softmax
from models.networks.spatial_softmax_torch import SpatialSoftmax
from models.networks.stoch_torch import (
    BernoulliShape,
    BernoulliStoch,
    CategoricalShape,
    CategoricalStoch,
    NormalShape,
    NormalStoch,
    cat_dist,
    get_dist,
    stack_dist,
)
from models.networks.transformer_torch import PositionalEncoding, TransformerLayer
from models.networks.transforms_torch import MinMaxNormalize, SoftmaxTransformation
from models.networks.transposed_torch import ConvTransposeNormActivation, ConvTransposeNormActivation1d
from models.networks.unet_blocks_torch import ConditionalResidualBlock1d, ConditionalResidualBlock2d
from models.networks.unet_torch import ConditionalUnet1d, ConditionalUnet2d
from models.networks.vit_torch import ViT

__all__ = [
    "Activation",
    "Attention1d",
    "Attention2d",
    "BSQCodebook",
    "BernoulliShape",
    "BernoulliStoch",
    "CategoricalShape",
    "CategoricalStoch",
    "ConditionalResidualBlock1d",
    "ConditionalResidualBlock2d",
    "ConditionalUnet1d",
    "ConditionalUnet2d",
    "ContrastiveLearningLoss",
    "ConvNet",
    "ConvNormActivation",
    "ConvNormActivation1d",
    "ConvTranspose",
    "ConvTransposeNormActivation",
    "ConvTransposeNormActivation1d",
    "Decoder",
    "Distribution",
    "Downsample1d",
    "Downsample2d",
    "Encoder",
    "FocalFrequencyLoss",
    "HorizonShuffle",
    "HorizonUnShuffle",
    "HyperConditionalResidualBlock1d",
    "HyperConditionalResidualBlock2d",
    "HyperNet",
    "LinearNormActivation",
    "MLPLayer",
    "MinMaxNormalize",
    "NormalShape",
    "NormalStoch",
    "PatchEmbed",
    "PositionalEncoding",
    "ResNetPixShuffle",
    "ResNetPixUnshuffle",
    "ResidualBlock",
    "SoftmaxTransformation",
    "SpatialSoftmax",
    "TransformerLayer",
    "Upsample1d",
    "Upsample2d",
    "ViT",
    "binary_focal_loss",
    "cat_dist",
    "charbonnier",
    "conv_out",
    "conv_out_shape",
    "conv_transpose_in",
    "conv_transpose_in_shape",
    "conv_transpose_out",
    "conv_transpose_out_shape",
    "cross_entropy",
    "focal_loss",
    "get_dist",
    "get_norm",
    "get_optimizer",
    "gumbel_softmax",
    "kl_balancing",
    "kl_divergence",
    "log_softmax",
    "output_padding",
    "output_padding_shape",
    "soft_target_cross_entropy",
    "softmax",
    "stack_dist",
    "torch_fix_seed",
]
