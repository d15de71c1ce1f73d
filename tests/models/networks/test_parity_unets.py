"""U-Nets, their blocks and their resampling agree over their options; `-k parity` runs these."""

from __future__ import annotations

import parity
from models.networks import pairs_unet

test_unet_1d = parity.as_test(pairs_unet.UNET_1D, examples=4)
test_unet_2d = parity.as_test(pairs_unet.UNET_2D, examples=4)
test_unet_with_a_hypernetwork = parity.as_test(pairs_unet.UNET_HYPER, examples=4)
test_block_1d = parity.as_test(pairs_unet.BLOCK_1D, examples=12)
test_block_2d = parity.as_test(pairs_unet.BLOCK_2D, examples=12)
test_hyper_block_1d = parity.as_test(pairs_unet.HYPER_BLOCK_1D, examples=12)
test_hyper_block_2d = parity.as_test(pairs_unet.HYPER_BLOCK_2D, examples=12)
test_downsample_1d = parity.as_test(pairs_unet.DOWNSAMPLE_1D, examples=12)
test_downsample_2d = parity.as_test(pairs_unet.DOWNSAMPLE_2D, examples=12)
test_upsample_1d = parity.as_test(pairs_unet.UPSAMPLE_1D, examples=12)
test_upsample_2d = parity.as_test(pairs_unet.UPSAMPLE_2D, examples=12)
