"""Losses, softmaxes and transformations agree over their options; `-k parity` runs these."""

from __future__ import annotations

import parity
from models.networks import pairs_losses

test_focal_loss = parity.as_test(pairs_losses.FOCAL)
test_binary_focal_loss = parity.as_test(pairs_losses.BINARY_FOCAL)
test_charbonnier = parity.as_test(pairs_losses.CHARBONNIER)
test_cross_entropy = parity.as_test(pairs_losses.CROSS_ENTROPY)
test_soft_target_cross_entropy = parity.as_test(pairs_losses.SOFT_CROSS_ENTROPY)
test_focal_frequency_loss = parity.as_test(pairs_losses.FOCAL_FREQUENCY)
test_softmax = parity.as_test(pairs_losses.SOFTMAX)
test_gumbel_softmax = parity.as_test(pairs_losses.GUMBEL)
test_softmax_transformation = parity.as_test(pairs_losses.CODE)
test_min_max_normalize = parity.as_test(pairs_losses.RESCALED)
