"""Either JAX TiDHy reproduces every quantity of every recorded run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.models.tidhy.recordings import CASES, TOLERANCE, errors, load
from tests.models.tidhy.replay_jax import Linen, Nnx, replay

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("framework", [Nnx, Linen])
def test_replay(framework: type[Nnx | Linen], case: str) -> None:
    recording = load(case)
    found = errors(replay(framework(recording), recording), recording.quantities)
    worst = max(found, key=lambda name: found[name])
    assert found[worst] <= TOLERANCE, f"{case}: {worst} deviates by {found[worst]:.1e}"


@pytest.mark.parametrize("framework", [Nnx, Linen])
def test_a_changed_weight_fails_the_replay(framework: type[Nnx | Linen]) -> None:
    recording = load(CASES[0])
    changed = replace(recording, state={name: value * (1 + 1e-9) for name, value in recording.state.items()})
    found = errors(replay(framework(changed), changed), recording.quantities)
    assert max(found.values()) > TOLERANCE
