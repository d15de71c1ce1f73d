"""The precision family's claims."""

from __future__ import annotations

from flax import nnx
from hypothesis import strategies as st

from models.catalogue.precision import nnx as candidates
from models.catalogue.precision import torch as references
from models.catalogue.recurrent.pair import one_layer
from parity import Pair, real, tokens

MIXED = Pair(
    name="precision.mixed",
    reference=lambda config: references.Mixed(),
    candidates={"nnx": lambda config: candidates.Mixed(rngs=nnx.Rngs(0))},
    inputs=lambda c: st.just((real(3, 7, 6),)),
    modes=("eval",),
    checks=("forward", "input_grad", "param_grad", "buffers", "dtypes"),
)

STARTED = Pair(
    name="precision.started",
    reference=lambda config: references.Started(),
    candidates={"nnx": lambda config: candidates.Started(rngs=nnx.Rngs(0))},
    inputs=lambda c: st.just((tokens(2, 3, vocabulary=97),)),
    modes=("eval",),
    checks=("forward", "input_grad", "param_grad", "buffers", "initial"),
    mapping=one_layer(),
)
