from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flax import nnx

from parity.checks import CHECKS
from parity.explore import Budget, cases
from parity.faults import Fault, injected
from parity.faults.discovery import pairs_and_faults
from parity.faults.injection import module_at

_, FAULTS = pairs_and_faults("models.catalogue")
DECLARED = [fault for fault in FAULTS if fault.pairs]
GROUPS = {
    *("layout", "convolution", "normalisation", "activations", "attention", "recurrent", "embeddings", "precision"),
    *("losses", "metrics", "optimizers", "randomness", "loops", "distributions", "signal", "indexing", "routing"),
    *("integers", "gradients", "conversion"),
}


def built(fault: Fault) -> Any:
    (pair,) = fault.pairs
    return pair.candidates["nnx"](cases(pair, Budget(1, 1))[0].config)


def print_of(model: Any) -> dict[str, Any]:
    """Everything of a model that an edit may touch: classes, plain attributes, kinds and values of variables."""
    found: dict[str, Any] = {}
    for path, module in nnx.iter_modules(model):
        where = "/".join(map(str, path))
        found[f"{where}:class"] = type(module)
        for name, value in vars(module).items():
            if isinstance(value, int | float | str | tuple | bool | None):
                found[f"{where}:{name}"] = value
    for path, variable in nnx.to_flat_state(nnx.state(model)):
        found["/".join(map(str, path))] = type(variable), readable(variable)
    return found


def readable(variable: nnx.Variable) -> bytes:
    import jax

    value: Any = variable.get_value()
    if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    return np.asarray(value).tobytes()


def test_ids_are_unique_and_every_group_has_faults() -> None:
    ids = [fault.id for fault in FAULTS]
    assert len(set(ids)) == len(ids)
    assert {fault.group for fault in DECLARED} == GROUPS
    assert len(DECLARED) >= 225


@pytest.mark.parametrize("fault", DECLARED, ids=lambda fault: fault.id)
def test_a_fault_changes_its_candidate_and_leaves_it_as_it_was(fault: Fault) -> None:
    model = built(fault)
    before = print_of(model)
    with injected(fault, model) as where:
        assert where == fault.where
        assert module_at(model, where) is not None
        assert print_of(model) != before or fault.claim is not None
    assert print_of(model) == before


def test_expected_checks_exist_and_are_declared_by_the_pair() -> None:
    known = {check.name for check in CHECKS} | {"carry"}
    for fault in DECLARED:
        assert set(fault.checks) <= known, fault.id
        assert set(fault.checks) & {*fault.pairs[0].checks, "carry"}, fault.id
