"""Mistakes of ports are caught in the networks as well.

`python -m parity faults models.networks --no-generic` puts all of them in and scores them; here a few of each kind go
in, and all are put in and taken out again.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from models.networks.faults import FAULTS
from parity.explore import Budget, cases
from parity.faults import Fault, Outcome, faulty, injected
from parity.faults.gate import Bench
from parity.faults.injection import module_at

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
    kind = type(module_at(model, str(fault.where)))
    with injected(fault, model):
        pass
    assert type(module_at(model, str(fault.where))) is kind


def test_every_kind_of_fault_is_tried() -> None:
    assert {KNOWN[name].group for name in TRIED} == {fault.group for fault in FAULTS}
    assert len(KNOWN) == len(FAULTS) >= 140
    assert min(Counter(fault.group for fault in FAULTS).values()) >= 10
