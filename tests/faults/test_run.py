from __future__ import annotations

from dataclasses import replace

import pytest

from models.catalogue.attention.faults import FAULTS as ATTENTION
from models.catalogue.embeddings.faults import FAULTS as EMBEDDINGS
from models.catalogue.normalisation.faults import FAULTS as NORMS
from models.catalogue.normalisation.pair import BATCH_NORM, FROZEN_BATCH_NORM
from models.catalogue.precision.faults import FAULTS as PRECISION
from models.catalogue.randomness.faults import FAULTS as RANDOMNESS
from models.catalogue.routing.faults import FAULTS as ROUTING
from parity.faults import Fault, Outcome, faulty
from parity.faults.generic import GENERIC
from parity.faults.run import run

EVERY = (*NORMS, *EMBEDDINGS, *ROUTING, *ATTENTION, *PRECISION, *RANDOMNESS, *GENERIC)
KNOWN = {fault.id: fault for fault in EVERY}


def outcome(fault: Fault) -> Outcome:
    score = run(fault.pairs, [fault], examples=3)
    assert not score.accused
    return score.outcomes[0]


@pytest.mark.parametrize(
    ("name", "check", "accepted"),
    [
        ("bn-momentum-inverted", "buffers", True),
        ("bn-running-var-biased", "buffers", True),
        ("bn-eps-keras", "forward", True),
        ("norm-ddof", "forward", False),
        ("ids-low-precision", "forward", True),
        ("tied-weights-untied", "param_grad", True),
        ("cache-position-offset", "forward", False),
        ("rope-partial-dim", "forward", False),
        ("f32-island-in-f64", "dtypes", True),
        ("dropout-key-frozen", "randomness", True),
        ("dropout-spatial", "forward", True),
        ("droppath-granularity", "forward", True),
        ("softmax-upcast-dropped", "dtypes", True),
        ("bn-momentum-none", "buffers", True),
    ],
)
def test_a_fault_is_caught_located_and_named_where_common_practice_may_accept_it(
    name: str, check: str, accepted: bool
) -> None:
    found = outcome(KNOWN[name])
    assert (found.caught, found.located, found.named, found.equivalent) == (check, True, True, False), found
    assert found.accepted is accepted


def test_a_refused_mapping_counts_as_caught_where_common_practice_notices_nothing() -> None:
    found = outcome(KNOWN["instancenorm-affine"])
    assert (found.caught, found.accepted) == ("carry", True)


def test_what_is_only_remarked_on_counts_with_its_verdict() -> None:
    found = outcome(KNOWN["max-tie-gradient"])
    assert (found.caught, found.verdict, found.named, found.located) == ("input_grad", "semantic boundary", True, False)


def test_a_fault_that_changes_nothing_is_taken_out_of_the_score() -> None:
    score = run([FROZEN_BATCH_NORM], [KNOWN["any-bn-momentum-inverted"]], examples=2)
    assert [o.equivalent for o in score.outcomes] == [True]
    assert (score.live, score.survivors, score.ok) == ((), (), True)


def test_a_fault_that_no_check_sees_survives_by_name() -> None:
    blind = replace(BATCH_NORM, checks=("forward",), modes=("eval",))
    fault = replace(KNOWN["bn-momentum-inverted"], pairs=(blind,), checks=("forward",))
    trains = replace(blind, modes=("eval", "train"))
    score = run([trains], [replace(fault, pairs=(trains,))], examples=2)
    assert [o.fault for o in score.survivors] == ["bn-momentum-inverted"]
    assert not score.ok


def test_a_check_that_is_not_claimed_accuses_nobody() -> None:
    biased = next(fault for fault in NORMS if fault.id == "bn-running-var-biased")
    stock = faulty(BATCH_NORM, biased, "nnx")
    pair = replace(stock, checks=("forward", "buffers"), exempt={"buffers": "statistics are converted"})
    score = run([pair], [replace(KNOWN["bn-eps-keras"], pairs=(pair,))], examples=2)
    assert not score.accused
    assert score.outcomes[0].caught == "forward"


def test_a_correct_pair_that_fails_is_an_accusation_and_its_faults_prove_nothing() -> None:
    wrong = replace(faulty(BATCH_NORM, KNOWN["bn-eps-keras"]), name="wrong from the start")
    fault = replace(KNOWN["bn-momentum-inverted"], pairs=(wrong,))
    score = run([wrong], [fault], examples=1)
    assert score.accused
    assert score.accused[0].startswith("wrong from the start in float64: forward")
    assert not score.outcomes[0].caught
    assert not score.ok


def test_the_pair_passes_after_its_faults() -> None:
    import parity

    run([BATCH_NORM], [KNOWN["bn-eps-keras"]], examples=1)
    assert parity.check(BATCH_NORM, examples=3).ok
