"""The networks in torch: every public name."""

from __future__ import annotations

from models.networks.activations_torch import Activation
from models.networks.attention_torch import Attention1d, Attention2d
from models.networks.convolution_torch import ConvNormActivation, ConvNormActivation1d, ResidualBlock
from models.networks.linear_torch import LinearNormActivation, MLPLayer
from models.networks.norms_torch import get_norm
from models.networks.shuffle_torch import HorizonShuffle, HorizonUnShuffle
from models.networks.softmax_torch import gumbel_softmax, log_softmax, softmax
from models.networks.transposed_torch import ConvTransposeNormActivation, ConvTransposeNormActivation1d

__all__ = [
    "Activation",
    "Attention1d",
    "Attention2d",
    "ConvNormActivation",
    "ConvNormActivation1d",
    "ConvTransposeNormActivation",
    "ConvTransposeNormActivation1d",
    "HorizonShuffle",
    "HorizonUnShuffle",
    "LinearNormActivation",
    "MLPLayer",
    "ResidualBlock",
    "get_norm",
    "gumbel_softmax",
    "log_softmax",
    "softmax",
]
