"""The gradient family's claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flax import nnx
from hypothesis import strategies as st

from models.catalogue.gradients import nnx as candidates
from models.catalogue.gradients import torch as references
from models.catalogue.inputs import chosen, normal, zero_rows
from parity import Input, Pair, real


def _claim(name: str, reference: Callable[[], Any], candidate: Callable[[], Any], *inputs: Input) -> Pair:
    return Pair(
        name=f"gradients.{name}",
        reference=lambda config: reference(),
        candidates={"nnx": lambda config: candidate()},
        inputs=lambda c: st.just(inputs),
        modes=("eval",),
    )


ADVERSARIAL = _claim(
    "adversarial", references.Adversarial, lambda: candidates.Adversarial(rngs=nnx.Rngs(0)), real(4, 3)
)
BOOTSTRAP = _claim("bootstrap", references.Bootstrap, lambda: candidates.Bootstrap(rngs=nnx.Rngs(0)), real(4, 3))
PENALTY = _claim("penalty", references.Penalty, lambda: candidates.Penalty(rngs=nnx.Rngs(0)), real(4, 3))
AT_ZERO = _claim("at_zero", references.AtZero, candidates.AtZero, chosen(4, 3, normal=normal, zero=zero_rows))
SHARDS = _claim("shards", references.Shards, candidates.Shards, real(2, 5, 3))
WAVES = _claim("waves", references.Waves, candidates.Waves, real(4), real(4))
