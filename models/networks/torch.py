"""The networks in torch: every public name."""

from __future__ import annotations

from models.networks.activations_torch import Activation
from models.networks.attention_torch import Attention1d, Attention2d
from models.networks.codebook_torch import BSQCodebook
from models.networks.convolution_torch import ConvNormActivation, ConvNormActivation1d, ResidualBlock
from models.networks.distribution_torch import Distribution
from models.networks.divergence_torch import kl_balancing, kl_divergence
from models.networks.frequency_loss_torch import FocalFrequencyLoss
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
from models.networks.seeds_torch import torch_fix_seed
from models.networks.shuffle_torch import HorizonShuffle, HorizonUnShuffle
from models.networks.softmax_torch import gumbel_softmax, log_softmax, softmax
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
from models.networks.transforms_torch import MinMaxNormalize, SoftmaxTransformation
from models.networks.transposed_torch import ConvTransposeNormActivation, ConvTransposeNormActivation1d

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
    "kl_balancing",
    "kl_divergence",
    "log_softmax",
    "soft_target_cross_entropy",
    "softmax",
    "stack_dist",
    "torch_fix_seed",
]
