"""Whole networks train alike, step by step; `-k parity` runs these."""

from __future__ import annotations

import parity
from models.networks import pairs_training

test_unet = parity.as_test(pairs_training.UNET, examples=1)
test_vit = parity.as_test(pairs_training.VIT, examples=1)
test_encoder_and_decoder = parity.as_test(pairs_training.AUTOENCODER, examples=1)
test_get_optimizer = parity.as_test(pairs_training.GET_OPTIMIZER, examples=1)
