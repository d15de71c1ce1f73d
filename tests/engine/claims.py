"""Two claims on a small network, one right and one wrong, for whatever takes a pair by its address."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from parity import Pair, check, real
from tests.engine.checks.ports import Net, Port

RIGHT = Pair(
    name="right",
    reference=lambda config: Net(),
    candidates={"nnx": lambda config: Port()},
    inputs=lambda config: st.just((real(3, 5),)),
    modes=("eval",),
    checks=("forward", "param_grad"),
)
WRONG = Pair(
    name="wrong",
    reference=lambda config: Net(),
    candidates={"nnx": lambda config: Port(lambda x: x)},  # the reference has a tanh here
    inputs=lambda config: st.just((real(3, 5),)),
    modes=("eval",),
    checks=("forward", "param_grad"),
)


@pytest.fixture(scope="module", autouse=True)
def ready_for_pytester() -> None:
    """Loads what a run loads: what is first loaded inside pytester is unloaded again, and JAX cannot load twice."""
    check(WRONG, examples=1)
