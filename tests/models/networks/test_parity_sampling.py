"""Distributions, hypernetworks and contrastive losses agree over their options; `-k parity` runs these."""

from __future__ import annotations

import parity
from models.networks import pairs_distributions, pairs_hyper

test_deterministic_distribution = parity.as_test(pairs_distributions.DETERMINISTIC)
test_sampled_distribution = parity.as_test(pairs_distributions.SAMPLED)
test_distribution_given_the_noise = parity.as_test(pairs_distributions.GIVEN_NOISE)
test_kl_divergence = parity.as_test(pairs_distributions.KL_DIVERGENCE)
test_kl_balancing = parity.as_test(pairs_distributions.KL_BALANCING)
test_get_dist = parity.as_test(pairs_distributions.LIKELIHOOD)
test_codebook = parity.as_test(pairs_distributions.CODES)
test_hypernet = parity.as_test(pairs_hyper.HYPERNET)
test_nce = parity.as_test(pairs_hyper.NCE)
test_sigmoid = parity.as_test(pairs_hyper.SIGMOID)
test_timeseries_nce = parity.as_test(pairs_hyper.TIMESERIES)
