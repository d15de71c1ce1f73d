"""The recurrent family's claims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flax import nnx
from hypothesis import strategies as st

from models.catalogue.inputs import chosen, full, lengths
from models.catalogue.recurrent import nnx as candidates
from models.catalogue.recurrent import torch as references
from models.catalogue.recurrent.config import RecurrentConfig
from parity import Pair, real
from weight_bridge import Mapping, Rule

LEAVES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _layers(layer: str, **places: str) -> Mapping:
    """Torch's name ending of each layer and direction → where the candidate keeps it."""
    return Mapping(
        rules=tuple(
            Rule((f"{layer}.{leaf}_{ending}",), (f"rnn/{place}{leaf}",), why="the same layout")
            for ending, place in places.items()
            for leaf in LEAVES
        )
    )


def _claim(
    name: str, reference: Callable[..., Any], candidate: Callable[..., Any], mapping: Mapping, length: int
) -> Pair:
    return Pair(
        name=f"recurrent.{name}",
        reference=reference,
        candidates={"nnx": lambda config: candidate(config, rngs=nnx.Rngs(0))},
        configs=st.just(RecurrentConfig()),
        inputs=lambda c: st.just((real(4, length, c.inputs),)),
        modes=("eval",),
        mapping=mapping,
    )


def one_layer() -> Mapping:
    """The mapping of a model with one layer in one direction, called `rnn`."""
    return _layers("rnn", l0="")


ONE = one_layer()
LONG_MEMORY = replace(
    _claim("long_memory", references.LongMemory, candidates.LongMemory, ONE, 7),
    checks=("forward", "input_grad", "param_grad", "buffers", "trajectory"),
)
GATED_MEMORY = _claim("gated_memory", references.GatedMemory, candidates.GatedMemory, ONE, 7)
CHUNKS = _claim("chunks", references.Chunks, candidates.Chunks, ONE, 6)

BOTH_WAYS = Pair(
    name="recurrent.both_ways",
    reference=references.BothWays,
    candidates={"nnx": lambda config: candidates.BothWays(config, rngs=nnx.Rngs(0))},
    configs=st.just(RecurrentConfig()),
    inputs=lambda c: st.just((real(4, 7, c.inputs), chosen(4, full=full(7), ragged=lengths(7)))),
    modes=("eval",),
    mapping=_layers("rnn.lstm", l0="forward/", l0_reverse="backward/"),
)

STACKED = Pair(
    name="recurrent.stacked",
    reference=references.Stacked,
    candidates={"nnx": lambda config: candidates.Stacked(config, rngs=nnx.Rngs(0))},
    configs=st.just(RecurrentConfig()),
    inputs=lambda c: st.just((real(4, 7, c.inputs),)),
    mapping=_layers("rnn", l0="lower/", l1="upper/"),
)
