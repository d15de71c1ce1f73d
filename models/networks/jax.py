"""The networks in Flax NNX: every public name."""

from __future__ import annotations

from models.networks.activations_nnx import Activation
from models.networks.attention_nnx import Attention1d, Attention2d
from models.networks.codebook_nnx import BSQCodebook
from models.networks.convolution_nnx import ConvNormActivation, ConvNormActivation1d, ResidualBlock
from models.networks.distribution_nnx import Distribution
from models.networks.divergence_nnx import kl_balancing, kl_divergence
from models.networks.frequency_loss_nnx import FocalFrequencyLoss
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
from models.networks.seeds_nnx import jax_fix_seed
from models.networks.shuffle_nnx import HorizonShuffle, HorizonUnShuffle
from models.networks.softmax_nnx import gumbel_softmax, log_softmax, softmax
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
from models.networks.transforms_nnx import MinMaxNormalize, SoftmaxTransformation
from models.networks.transposed_nnx import ConvTransposeNormActivation, ConvTransposeNormActivation1d

__all__ = [
    "Activation",
    "Attention1d",
    "Attention2d",
    "BSQCodebook",
    "BernoulliShape",
    "BernoulliStoch",
    "CategoricalShape",
    "CategoricalStoch",
    "ConvNormActivation",
    "ConvNormActivation1d",
    "ConvTransposeNormActivation",
    "ConvTransposeNormActivation1d",
    "Distribution",
    "FocalFrequencyLoss",
    "HorizonShuffle",
    "HorizonUnShuffle",
    "LinearNormActivation",
    "MLPLayer",
    "MinMaxNormalize",
    "NormalShape",
    "NormalStoch",
    "ResidualBlock",
    "SoftmaxTransformation",
    "binary_focal_loss",
    "cat_dist",
    "charbonnier",
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
    "soft_target_cross_entropy",
    "softmax",
    "stack_dist",
]
