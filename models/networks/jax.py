"""The networks in Flax NNX: every public name."""

from __future__ import annotations

from models.networks.activations_nnx import Activation
from models.networks.attention_nnx import Attention1d, Attention2d
from models.networks.convolution_nnx import ConvNormActivation, ConvNormActivation1d, ResidualBlock
from models.networks.linear_nnx import LinearNormActivation, MLPLayer
from models.networks.norms_nnx import get_norm
from models.networks.shuffle_nnx import HorizonShuffle, HorizonUnShuffle
from models.networks.softmax_nnx import gumbel_softmax, log_softmax, softmax
from models.networks.transposed_nnx import ConvTransposeNormActivation, ConvTransposeNormActivation1d

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
