"""Exploring a pair: distinct cases, the same ones for the same seed, refusals, and what a survey keeps."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from parity import Override, Pair, StructureMismatch, UsageError, check, distinct, mask, real
from parity.explore import Budget, cases, open_session
from tests.engine.checks.ports import Net, Port

LATER = datetime.date(2999, 1, 1)


def _pair(**parts: Any) -> Pair:
    return Pair(
        **{
            "name": "net",
            "reference": lambda config: Net(),
            "candidates": {"nnx": lambda config: Port()},
            "inputs": lambda config: distinct(1, (3, 5, 7, 11)).map(lambda sizes: (real(sizes[0], 5),)),
            "checks": ("forward", "param_grad"),
            "modes": ("eval",),
            **parts,
        }
    )


def test_cases_are_distinct_and_follow_from_the_seed() -> None:
    found = [str(case) for case in cases(_pair(), Budget(20, 3, seed=4))]
    assert len(set(found)) == len(found) == 3
    assert found == [str(case) for case in cases(_pair(), Budget(20, 3, seed=4))]


def test_inputs_of_one_shape_and_several_kinds_are_cases_of_their_own() -> None:
    kinds = st.sampled_from([(real(3, 5),), (mask(3, 5),), (real(3, 5, scale=2.0),)])
    pair = dataclasses.replace(_pair(), configs=st.just(None), inputs=lambda config: kinds)
    assert {case.inputs[0].kind for case in cases(pair, Budget(20, 3))} == {"real", "mask"}
    assert len(cases(pair, Budget(20, 3))) == 3


def test_an_example_follows_from_its_profile_and_seed() -> None:
    (case,) = cases(_pair(), Budget(1, 1))
    one, same, other = (case.example(*given) for given in (("normal", 1), ("normal", 1), ("normal", 2)))
    assert (one.inputs[0] == same.inputs[0]).all()
    assert (one.inputs[0] != other.inputs[0]).any()
    assert one.declared == case.inputs


def test_a_right_pair_passes_and_counts_what_was_run() -> None:
    report = check(_pair(), examples=12)
    assert report.ok, report
    assert report.examples == 12
    assert report.configs == 3


def test_a_wrong_pair_stops_at_an_example_that_is_described() -> None:
    report = check(_pair(candidates={"nnx": lambda config: Port(lambda x: jnp.tanh(x) * 1.001)}), examples=5)
    assert not report.ok
    assert "seed" in report.example


def test_what_both_sides_refuse_is_no_case() -> None:
    def refuse(config: Any) -> Any:
        raise ValueError("width must be even")

    pair = _pair(reference=refuse, candidates={"nnx": refuse})
    (case,) = cases(pair, Budget(1, 1))
    assert open_session(pair, "nnx", case, case.example("normal", 0)) is None
    report = check(pair, examples=3)
    assert not report.ok, "a run that compared nothing proves nothing"


def test_two_builds_of_a_case_start_from_the_same_weights_whatever_was_drawn_before() -> None:
    (case,) = cases(_pair(), Budget(1, 1))
    example = case.example("normal", 0)
    opened = []
    for seed in (3, 3, 4):
        torch.rand(seed + len(opened))
        opened.append(open_session(_pair(), "nnx", case, example, seed=seed))
    same, again, other = ([*session.reference.state().values()] for session in opened if session is not None)
    assert all(np.array_equal(a, b) for a, b in zip(same, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(same, other, strict=True))


def test_what_one_side_refuses_is_a_divergence() -> None:
    def refuse(config: Any) -> Any:
        raise ValueError("width must be even")

    pair = _pair(candidates={"nnx": refuse})
    (case,) = cases(pair, Budget(1, 1))
    with pytest.raises(StructureMismatch, match="only the candidate refuses None: ValueError: width must be even"):
        open_session(pair, "nnx", case, case.example("normal", 0))
    assert not check(pair, examples=3).ok


def test_a_reference_that_refuses_every_input_proves_nothing() -> None:
    class Refuses(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError("no such input")

    class RefusesToo(Port):
        def __call__(self, x: Any) -> Any:
            raise ValueError("no such input")

    both = {"reference": lambda config: Refuses(), "candidates": {"nnx": lambda config: RefusesToo()}}
    report = check(_pair(**both), examples=3)
    assert not report.ok
    assert report.results[0].detail == "the reference refuses every example: ValueError: no such input"


def _loosened(limit: float) -> Override:
    return Override("forward", limit, "the port rounds its activation on purpose", LATER)


def test_an_override_that_is_needed_shows_and_passes() -> None:
    rounded = {"nnx": lambda config: Port(lambda x: jnp.tanh(x) * (1 + 1e-9))}
    pair = _pair(candidates=rounded, checks=("forward",), overrides=(_loosened(1e-6),))
    report = check(pair, examples=12)
    assert report.ok, report
    assert str(_loosened(1e-6)) in report.notes
    assert not check(dataclasses.replace(pair, overrides=()), examples=3).ok


def test_an_override_that_nothing_needs_fails_the_run() -> None:
    report = check(_pair(overrides=(_loosened(1e-6),)), examples=12)
    assert not report.ok
    (expired,) = [result for result in report.results if result.verdict == "expired override"]
    assert expired.detail == f"{_loosened(1e-6)}: no example needs it any more; remove it"


def test_few_examples_say_nothing_about_an_override() -> None:
    assert check(_pair(overrides=(_loosened(1e-6),)), examples=3).ok


def test_checks_of_a_configuration_judge_one_example_of_it() -> None:
    pair = _pair(inputs=lambda config: st.just((real(11, 5),)), checks=("forward", "loop"))
    report = check(pair, examples=6)
    forward, loop = report.results
    assert forward.leaves == 6
    assert loop.leaves == 2, "other weights, and the first call again, once"


def test_a_gradient_that_is_always_zero_is_noted() -> None:
    class Dead(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + 0 * self.second.bias - self.second.bias

    class DeadPort(Port):
        def __call__(self, x: Any) -> Any:
            return super().__call__(x) - self.second.bias[...]

    report = check(_pair(reference=lambda c: Dead(), candidates={"nnx": lambda c: DeadPort()}), examples=4)
    assert report.ok, report
    assert "vacuous: param_grad is zero in every example, eval mode: second.bias" in report.notes


def test_a_check_that_a_pair_does_not_claim_is_not_run_and_the_reason_is_shown() -> None:
    report = check(_pair(exempt={"sizes": "rows come in threes"}), examples=1, checks=("forward", "sizes"))
    assert [result.check for result in report.results] == ["forward"]
    assert report.notes == ("sizes not claimed: rows come in threes",)
    with pytest.raises(UsageError, match=r"pair 'net': exempt from sizes without a reason; say it in words"):
        _pair(exempt={"sizes": ""})
    with pytest.raises(UsageError, match="no check called 'size'"):
        check(_pair(exempt={"size": "rows come in threes"}), examples=1)


@pytest.mark.parametrize("given", [st.just(real(2, 5)), (real(2, 5),), st.just((3,))], ids=["bare", "no strategy", "3"])
def test_inputs_that_are_no_strategy_of_tuples_are_refused(given: Any) -> None:
    with pytest.raises(UsageError) as refused:
        check(_pair(inputs=lambda config: given), examples=1)
    words = "pair 'net': inputs(config) must be a strategy of tuples, e.g. st.just((parity.real(2, 5),)); got "
    assert str(refused.value).startswith(words)


def test_a_check_that_finds_nothing_says_so_once() -> None:
    report = check(_pair(), examples=1, checks=("forward", "buffers"))
    assert [result.detail for result in report.results if not result.leaves] == ["nothing to compare"]
    assert report.notes == ()
