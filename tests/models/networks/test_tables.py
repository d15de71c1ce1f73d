"""Functions and stateless objects give the recorded outputs and gradients of the original, in both frameworks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.models.networks.table_calls import (
    TableCall,
    gradient_errors,
    relative_error,
    replay_jax,
    replay_torch,
    table,
)

CALLS = [call for name in ("kl", "losses", "softmax_and_transforms") for call in table(name)]
Replay = Callable[[TableCall], tuple[np.ndarray, dict[int, np.ndarray]]]


@pytest.mark.parametrize("replay", [replay_torch, replay_jax])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.label)
def test_a_recorded_call_is_reproduced(
    call: TableCall, replay: Replay, record_property: Callable[[str, object], None]
) -> None:
    output, gradients = replay(call)
    errors = {"output": relative_error(output, call.output)}
    errors |= {f"gradient {i}": e for i, e in gradient_errors(gradients, call.gradients).items()}
    record_property("worst", max(errors.values()))
    assert max(errors.values()) < 1e-10, errors
    assert set(gradients) == set(call.gradients)
