"""The layer table: torch layers converted to every library that has them, run, pulled back and reverted in float64."""

from __future__ import annotations

import jax
import pytest

import weight_bridge
from tests.weight_bridge.layer_table import ROWS
from tests.weight_bridge.layer_table.measure import measure, reference
from tests.weight_bridge.layer_table.row import LIBRARIES, Absent, Port, Refused

TOLERANCE = 1e-12  # relative to the largest element: the project's figure for one layer in float64
PORTS = [(name, library) for name, row in ROWS.items() for library in row.ports if isinstance(row.ports[library], Port)]
REFUSED = [
    (name, library) for name, row in ROWS.items() for library in row.ports if isinstance(row.ports[library], Refused)
]


@pytest.mark.parametrize(("name", "library"), PORTS)
def test_a_converted_layer_does_what_torch_s_does_and_comes_back(name: str, library: str) -> None:
    port = ROWS[name].ports[library]
    assert isinstance(port, Port)
    found = measure(ROWS[name], port)
    assert found.forward <= TOLERANCE
    assert found.gradient <= TOLERANCE
    assert found.folded == port.folds
    assert found.returned >= set(reference(ROWS[name]).state) - found.folded - found.ignored
    assert found.refolded <= TOLERANCE


@pytest.mark.parametrize(("name", "library"), REFUSED)
def test_what_a_library_cannot_hold_is_refused(name: str, library: str) -> None:
    port = ROWS[name].ports[library]
    assert isinstance(port, Refused)
    with jax.enable_x64(True), pytest.raises(weight_bridge.WeightBridgeError) as refused:
        weight_bridge.convert(reference(ROWS[name]).state, port.target, source=ROWS[name].torch)
    assert port.line in (refused.value.headline, *refused.value.problems)


def test_every_row_has_a_word_on_every_library() -> None:
    for name, row in ROWS.items():
        assert tuple(row.ports) == LIBRARIES, name
        assert all(port.reason for port in row.ports.values() if isinstance(port, Absent))
