"""The conversion family's claim."""

from __future__ import annotations

from flax import nnx
from hypothesis import strategies as st

from models.catalogue.conversion import nnx as candidates
from models.catalogue.conversion import torch as references
from parity import Pair, real
from weight_bridge import Mapping, Rule

ORIGINALS = Mapping(
    rules=(
        Rule(("directed.parametrizations.weight.original0",), ("directed/length",), why="the length of each row"),
        Rule(("directed.parametrizations.weight.original1",), ("directed/direction",), why="its direction"),
        Rule(("directed.bias",), ("directed/bias",), why="the same layout"),
    )
)

STORED = Pair(
    name="conversion.stored",
    reference=lambda config: references.Stored(),
    candidates={"nnx": lambda config: candidates.Stored(rngs=nnx.Rngs(0))},
    inputs=lambda c: st.just((real(7, 3),)),
    mapping=ORIGINALS,
)
