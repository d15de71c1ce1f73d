"""The randomness family's claims: with the same draws on both sides, the same results."""

from __future__ import annotations

from flax import nnx
from hypothesis import strategies as st

from models.catalogue.randomness import nnx as candidates
from models.catalogue.randomness import torch as references
from parity import Pair, real

DROPPED = Pair(
    name="randomness.dropped",
    reference=lambda config: references.Dropped(),
    candidates={"nnx": lambda config: candidates.Dropped(rngs=nnx.Rngs(0))},
    inputs=lambda c: st.just((real(4, 2, 3, 5),)),
    checks=("forward", "input_grad", "param_grad", "buffers", "randomness"),
)

CHOICE = Pair(
    name="randomness.choice",
    reference=lambda config: references.Choice(),
    candidates={"nnx": lambda config: candidates.Choice(rngs=nnx.Rngs(0))},
    inputs=lambda c: st.just((real(3, 5, 2),)),
    modes=("train",),
    checks=("forward", "input_grad", "param_grad", "buffers", "randomness"),
)

SHUFFLED = Pair(
    name="randomness.shuffled",
    reference=lambda config: references.Shuffled(),
    candidates={"nnx": lambda config: candidates.Shuffled(rngs=nnx.Rngs(0))},
    inputs=lambda c: st.just((real(7, 2),)),
    modes=("train",),
    checks=("forward", "input_grad", "param_grad", "buffers", "randomness"),
)
