"""Networks agree as linen modules too; few examples, for what is inside is the NNX twin. `-k parity` runs these."""

from __future__ import annotations

import parity
from models.networks import pairs_linen

test_mlp = parity.as_test(pairs_linen.MLP, examples=2)
test_convolution = parity.as_test(pairs_linen.CONVOLUTION, examples=3)
test_residual = parity.as_test(pairs_linen.RESIDUAL, examples=3)
test_positions = parity.as_test(pairs_linen.POSITIONS, examples=1)
test_vit_encoder = parity.as_test(pairs_linen.VIT_ENCODER, examples=1)
test_encoder = parity.as_test(pairs_linen.ENCODER, examples=1)
test_unet = parity.as_test(pairs_linen.UNET, examples=1)
