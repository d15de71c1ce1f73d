"""The claims on layers, attention and image networks, explored."""

from __future__ import annotations

import parity
from models.networks import pairs_attention, pairs_layers, pairs_vision
from parity.discovery import pairs_of

test_activation = parity.as_test(pairs_layers.ACTIVATION, examples=60)
test_hardsigmoid = parity.as_test(pairs_layers.HARDSIGMOID, examples=6)
test_linear = parity.as_test(pairs_layers.LINEAR)
test_mlp = parity.as_test(pairs_layers.MLP)
test_convolution = parity.as_test(pairs_layers.CONVOLUTION, examples=50)
test_convolution_1d = parity.as_test(pairs_layers.CONVOLUTION_1D)
test_transposed = parity.as_test(pairs_layers.TRANSPOSED)
test_transposed_1d = parity.as_test(pairs_layers.TRANSPOSED_1D)
test_residual = parity.as_test(pairs_layers.RESIDUAL)

test_attention_1d = parity.as_test(pairs_attention.ATTENTION_1D)
test_attention_2d = parity.as_test(pairs_attention.ATTENTION_2D)
test_transformer = parity.as_test(pairs_attention.TRANSFORMER, examples=12)
test_positions = parity.as_test(pairs_attention.POSITIONS)
test_patches = parity.as_test(pairs_attention.PATCHES, examples=10)
test_spatial_softmax = parity.as_test(pairs_attention.SPATIAL_SOFTMAX)

test_conv_net = parity.as_test(pairs_vision.CONV_NET, examples=12)
test_conv_transpose = parity.as_test(pairs_vision.CONV_TRANSPOSE, examples=12)
test_res_net_encoder = parity.as_test(pairs_vision.RES_NET_ENCODER, examples=12)
test_res_net_decoder = parity.as_test(pairs_vision.RES_NET_DECODER, examples=12)
test_vit_encoder = parity.as_test(pairs_vision.VIT_ENCODER, examples=12)
test_vit_decoder = parity.as_test(pairs_vision.VIT_DECODER, examples=12)
test_encoder = parity.as_test(pairs_vision.ENCODER, examples=12)
test_decoder = parity.as_test(pairs_vision.DECODER, examples=12)


def test_every_claim_is_explored():
    names = [name for module in (pairs_layers, pairs_attention, pairs_vision) for name, _ in pairs_of(module.__name__)]
    explored = {name.removeprefix("test_").upper() for name in globals() if name.startswith("test_")}
    assert sorted(names) == sorted(explored - {"EVERY_CLAIM_IS_EXPLORED"})
