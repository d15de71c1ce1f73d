"""Mistakes of ports are caught in the networks as well.

`python -m parity faults models.networks --no-generic` puts all of them in and scores them; here a few of each kind go
in, and all are put in and taken out again.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models.networks.faults import FAULTS
from parity.explore import Budget, cases
from parity.faults import Fault, Outcome, faulty, injected
from parity.faults.gate import Bench

KNOWN = {fault.id.removeprefix("network-"): fault for fault in FAULTS}
TRIED = (
    *("linear-square-untransposed", "linear-extra-bias", "f32-island-in-f64", "stop-gradient-extra"),
    *("conv-default-same", "pad-reflect-symmetric", "dilation-kind-swapped", "convtranspose-no-flip"),
    *("convtranspose-same-shift", "group-interleave", "pixel-shuffle-order", "step-unshuffle-order"),
    *("norm-ddof", "missing-keepdims", "gn1-as-layernorm", "group-norm-interleave", "bn-eval-uses-batch-stats"),
    *("bn-momentum-inverted", "bn-running-var-biased", "bn-state-not-written", "rms-eps-default"),
    *("gelu-tanh-default", "glu-halves-swapped", "softmax-unshifted", "custom-backward-dropped"),
    *("attn-scale-dim", "head-split-order", "qkv-packed-order", "position-offset", "unfold-patch-order"),
    *("flatten-nhwc-order", "adaptive-pool-bins", "deviation-floor", "straight-through-likeliest"),
    *("adamw-default-decay", "rmsprop-decay-default", "tied-weights-untied", "bn-batches-uncounted", "pre-norm"),
    *("patches-by-column", "position-halves", "positions-in-values", "film-swap"),
    *("loss-sum-vs-mean", "charbonnier-gradient", "dropout-no-rescale", "init-fan-axis", "init-special-skipped"),
)
"""Caught by the check that should, located at the edited module, and given a right name, each within a second."""


@pytest.mark.parametrize("name", TRIED)
def test_a_fault_is_caught_located_and_named(name: str) -> None:
    fault = KNOWN[name]
    outcome = found(fault)
    assert outcome.caught in (*fault.checks, "carry"), outcome
    assert outcome.located, outcome
    assert outcome.named or outcome.caught == "carry", outcome


def found(fault: Fault) -> Outcome:
    """What the gate says of a fault whose correct pair it lets pass."""
    (pair,) = fault.pairs
    bench = Bench.of(pair, "nnx", examples=1)
    right = bench.judge(pair, "float64")
    assert right.report is None, right.report
    verdict = bench.judge(faulty(pair, fault), "float64", fault.checks)
    assert verdict.report is not None, f"{fault.id} is not caught"
    return Outcome.of(fault, pair.name, str(fault.where), False).failed(fault, verdict.report)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_fault_goes_where_it_says_and_its_check_is_declared(fault: Fault) -> None:
    (pair,) = fault.pairs
    assert {*fault.checks} <= {*pair.checks, "carry"}
    model: Any = pair.candidates["nnx"](cases(pair, Budget(1, 1))[0].config)
    before = _look(model)
    with injected(fault, model):
        assert _look(model) != before or (fault.claim is not None and fault.claim(pair) != pair)
    assert _look(model) == before


def _look(model: Any) -> tuple[dict[Any, Any], dict[Any, bytes]]:
    """What an edit may change: classes and attributes of all modules, values of all variables."""
    parts = {
        path: (type(part), {n: _plain(v) for n, v in vars(part).items() if not n.startswith("_pytree")})
        for path, part in nnx.iter_modules(model)
    }
    state = nnx.to_flat_state(nnx.state(model))
    return parts, {path: np.asarray(_bits(variable.get_value())).tobytes() for path, variable in state}


def _plain(value: Any) -> Any:
    """An attribute that compares by what it is: modules and variables are looked at by themselves."""
    if isinstance(value, nnx.Module | nnx.Variable):
        return type(value), id(value)
    return value if isinstance(value, str | int | float | tuple | None) else id(value)


def _bits(value: Any) -> Any:
    return jax.random.key_data(value) if jnp.issubdtype(value.dtype, jax.dtypes.prng_key) else value


def test_every_kind_of_fault_is_tried() -> None:
    assert {KNOWN[name].group for name in TRIED} == {fault.group for fault in FAULTS}
    assert len(KNOWN) == len(FAULTS) == 147, "as the docs say"
    assert min(Counter(fault.group for fault in FAULTS).values()) >= 10
