"""Every claim of TiDHy: 400 drawn cases over every option, float64 torch against linen and NNX."""

from __future__ import annotations

import parity
from models.tidhy import pair

test_temporal_prediction = parity.as_test(pair.PREDICTION)
test_first_inference = parity.as_test(pair.FIRST_STEP)
test_inference = parity.as_test(pair.STEP)
test_inference_bce = parity.as_test(pair.STEP_BCE)
test_inference_poisson = parity.as_test(pair.STEP_POISSON)
test_sequence_losses = parity.as_test(pair.LOSSES)
test_sequence_losses_poisson = parity.as_test(pair.LOSSES_POISSON)
test_recorded_evaluation = parity.as_test(pair.RECORD)
