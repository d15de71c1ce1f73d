"""The policy: bounds by precision, and overrides that carry a reason, show, and expire."""

from __future__ import annotations

import datetime

import pytest

from parity import Override, UsageError
from parity.tolerance import FLOAT64_BOUNDS, REFERENCE_FACTOR, bound, critical

LATER, EARLIER = datetime.date(2999, 1, 1), datetime.date(2000, 1, 1)
REASON = "the deployed kernel sums in float32"


@pytest.mark.parametrize("check", FLOAT64_BOUNDS)
def test_float64_is_far_from_noise_and_from_the_smallest_fault(check: str) -> None:
    assert 100 * 1.7e-13 < bound(check, "float64").limit * 10 < 7e-9


def test_float64_does_not_depend_on_the_reference() -> None:
    assert bound("forward", "float64", reference_error=1.0) == bound("forward", "float64")


def test_below_float64_the_reference_is_the_yardstick() -> None:
    tight, loose = (bound("forward", "float32", reference_error=error).limit for error in (1e-7, 1e-4))
    assert loose - tight == pytest.approx(REFERENCE_FACTOR * (1e-4 - 1e-7))
    assert bound("forward", "bfloat16").limit > 1e4 * bound("forward", "float32").limit
    assert bound("param_grad", "float32").limit > bound("forward", "float32").limit


def test_an_override_replaces_the_limit_and_keeps_the_policys() -> None:
    override = Override("forward", 1e-3, REASON, LATER)
    found = bound("forward", "float64", overrides=(override,))
    assert (found.limit, found.policy, found.override) == (1e-3, 1e-11, override)
    assert found.why == f"override: {REASON}"
    assert bound("buffers", "float64", overrides=(override,)).override is None


def test_an_override_may_be_for_one_leaf_and_one_format() -> None:
    override = Override("forward", 1e-3, REASON, LATER, only="output.mean", precision="float32")
    assert bound("forward", "float32", overrides=(override,), name="output.mean").override is override
    assert bound("forward", "float32", overrides=(override,), name="output.std").override is None
    assert bound("forward", "float64", overrides=(override,), name="output.mean").override is None
    assert str(override) == f"override of forward of output.mean of float32 to 0.001 until 2999-01-01: {REASON}"


def test_an_expired_override_is_refused() -> None:
    with pytest.raises(UsageError) as refused:
        bound("forward", "float64", overrides=(Override("forward", 1e-3, REASON, EARLIER),))
    assert str(refused.value) == f"override of 'forward' expired on 2000-01-01: {REASON}; renew or remove it"


def test_a_reason_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="override of 'forward': the reason 'flaky' is not a sentence"):
        Override("forward", 1e-3, "flaky", LATER)


def test_statistical_assertions_share_one_chance_of_failing() -> None:
    assert critical(1) < critical(100) < critical(10_000)
    assert critical(100) == pytest.approx(5.7, abs=0.05)
