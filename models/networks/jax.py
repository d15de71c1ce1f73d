"""The networks in Flax NNX: every public name."""

from __future__ import annotations

from models.networks.activations_nnx import Activation
from models.networks.attention_nnx import Attention1d, Attention2d
from models.networks.codebook_nnx import BSQCodebook
from models.networks.contrastive_nnx import ContrastiveLearningLoss
from models.networks.convnet_nnx import ConvNet, ConvTranspose
from models.networks.convolution_nnx import ConvNormActivation, ConvNormActivation1d, ResidualBlock
from models.networks.decoder_nnx import Decoder
from models.networks.distribution_nnx import Distribution
from models.networks.divergence_nnx import kl_balancing, kl_divergence
from models.networks.encoder_nnx import Encoder
from models.networks.frequency_loss_nnx import FocalFrequencyLoss
from models.networks.hyper_blocks_nnx import HyperConditionalResidualBlock1d, HyperConditionalResidualBlock2d
from models.networks.hypernet_nnx import HyperNet
from models.networks.linear_nnx import LinearNormActivation, MLPLayer
from models.networks.losses_nnx import (
    binary_focal_loss,
    charbonnier,
    cross_entropy,
    focal_loss,
    soft_target_cross_entropy,
)
from models.networks.norms_nnx import get_norm
from models.networks.optimizers_nnx import get_optimizer
from models.networks.patches_nnx import PatchEmbed
from models.networks.resampling_nnx import Downsample1d, Downsample2d, Upsample1d, Upsample2d
from models.networks.resnet_nnx import ResNetPixShuffle, ResNetPixUnshuffle
from models.networks.seeds_nnx import jax_fix_seed
from models.networks.shuffle_nnx import HorizonShuffle, HorizonUnShuffle
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
from models.networks.softmax_nnx import gumbel_softmax, log_softmax, softmax
from models.networks.spatial_softmax_nnx import SpatialSoftmax
from models.networks.stoch_nnx import (
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
from models.networks.transformer_nnx import PositionalEncoding, TransformerLayer
from models.networks.transforms_nnx import MinMaxNormalize, SoftmaxTransformation
from models.networks.transposed_nnx import ConvTransposeNormActivation, ConvTransposeNormActivation1d
from models.networks.unet_blocks_nnx import ConditionalResidualBlock1d, ConditionalResidualBlock2d
from models.networks.unet_nnx import ConditionalUnet1d, ConditionalUnet2d
from models.networks.vit_nnx import ViT

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
    "jax_fix_seed",
    "kl_balancing",
    "kl_divergence",
    "log_softmax",
    "output_padding",
    "output_padding_shape",
    "soft_target_cross_entropy",
    "softmax",
    "stack_dist",
]
