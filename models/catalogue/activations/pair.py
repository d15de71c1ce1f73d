"""The activation family's claims."""

from __future__ import annotations

from flax import nnx
from hypothesis import strategies as st

from models.catalogue.activations import nnx as candidates
from models.catalogue.activations import torch as references
from models.catalogue.inputs import chosen, coarse, deep, extreme, normal
from parity import Pair, real

SMOOTH = Pair(
    name="activations.smooth",
    reference=lambda config: references.Smooth(),
    candidates={"nnx": lambda config: candidates.Smooth()},
    inputs=lambda c: st.just((real(5, 7),)),
    modes=("eval",),
)

STABLE = Pair(
    name="activations.stable",
    reference=lambda config: references.Stable(),
    candidates={"nnx": lambda config: candidates.Stable()},
    inputs=lambda c: st.just((chosen(5, 7, normal=normal, extreme=extreme),)),
    modes=("eval",),
)

KINKED = Pair(
    name="activations.kinked",
    reference=lambda config: references.Kinked(),
    candidates={"nnx": lambda config: candidates.Kinked()},
    inputs=lambda c: st.just((chosen(5, 7, normal=normal, coarse=coarse),)),
    modes=("eval",),
)

GATED = Pair(
    name="activations.gated",
    reference=lambda config: references.Gated(),
    candidates={"nnx": lambda config: candidates.Gated(rngs=nnx.Rngs(0))},
    inputs=lambda c: st.just((real(3, 5, 4),)),
    modes=("eval",),
)

LOG1P = Pair(
    name="activations.log1p",
    reference=lambda config: references.Log1p(),
    candidates={"nnx": lambda config: candidates.Log1p()},
    inputs=lambda c: st.just((chosen(5, 7, normal=normal, deep=deep),)),
    modes=("eval",),
)
