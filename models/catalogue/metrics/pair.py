"""The metric family's claims."""

from __future__ import annotations

from hypothesis import strategies as st

from models.catalogue.inputs import chosen, coarse, full, lengths, normal
from models.catalogue.metrics import nnx as candidates
from models.catalogue.metrics import torch as references
from parity import Pair, real

STATISTICS = Pair(
    name="metrics.statistics",
    reference=lambda config: references.Statistics(),
    candidates={"nnx": lambda config: candidates.Statistics()},
    inputs=lambda c: st.sampled_from((6, 7)).map(lambda n: (chosen(5, n, normal=normal, coarse=coarse),)),
    modes=("eval",),
)

OVER_BATCHES = Pair(
    name="metrics.over_batches",
    reference=lambda config: references.OverBatches(),
    candidates={"nnx": lambda config: candidates.OverBatches()},
    inputs=lambda c: st.just((real(3, 5, profiles=("normal", "small")), chosen(3, full=full(5), ragged=lengths(5)))),
    modes=("eval",),
)
