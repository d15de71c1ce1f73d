"""Two arrays against each other: what counts as far, and what cannot be compared at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity.comparison import Comparison, compare_all

TINY = float(np.finfo(np.float64).tiny)


def _compared(expected: Any, got: Any, **parents: float) -> Comparison:
    (only,) = compare_all({"x": np.asarray(expected)}, {"x": np.asarray(got)}, "float64", parents)
    return only


def test_equal_arrays_are_no_distance_apart() -> None:
    found = _compared([1.0, -2.0], [1.0, -2.0])
    assert (found.error, found.ulp, found.problem, found.kind) == (0.0, 0.0, None, "numbers")


def test_error_is_relative_to_the_scale_of_the_tensor() -> None:
    large, small = _compared([1e6, 1.0], [1e6, 2.0]), _compared([1e-6, 1e-12], [1e-6, 2e-12])
    assert large.error == pytest.approx(1e-6)
    assert small.error == pytest.approx(1e-6)
    assert large.where == "x[1]"


def test_one_ulp_is_one_ulp() -> None:
    assert _compared([1.0], [np.nextafter(1.0, 2.0)]).ulp == 1.0
    assert _compared([1e300], [np.nextafter(1e300, np.inf)]).ulp == 1.0


@pytest.mark.parametrize(
    ("expected", "got", "problem"),
    [
        ([1.0, np.nan], [1.0, 2.0], "NaN positions differ at 1 of 2 elements; at [1] 2 where the reference has nan"),
        ([1.0, 2.0], [1.0, np.nan], "NaN positions differ at 1 of 2 elements; at [1] nan where the reference has 2"),
        ([np.inf, 2.0], [-np.inf, 2.0], "inf positions differ at 1 of 2 elements; at [0] -inf where the reference"),
    ],
)
def test_nan_and_inf_never_equal_a_number(expected: Any, got: Any, problem: str) -> None:
    found = _compared(expected, got)
    assert (found.error, found.kind) == (np.inf, "non-finite")
    assert found.problem is not None
    assert found.problem.startswith(problem)


def test_nan_at_the_same_places_passes_and_the_rest_is_compared() -> None:
    assert _compared([np.nan, np.inf, 1.0], [np.nan, np.inf, 1.0]).error == 0.0
    assert _compared([np.nan, 1.0], [np.nan, 1.5]).error == pytest.approx(0.5)


def test_discrete_values_are_equal_or_they_are_not() -> None:
    assert _compared([1, 2], [1, 2]).error == 0.0
    found = _compared([1, 2], [1, 3])
    assert (found.error, found.kind) == (np.inf, "discrete")
    assert found.problem == "1 of 2 discrete values differ; at [1] 3 where the reference has 2"


def test_shapes_and_names_are_structure() -> None:
    assert _compared([1.0], [[1.0]]).problem == "shape (1, 1) where the reference has (1,)"
    missing, extra = compare_all({"a": np.ones(2)}, {"b": np.ones(2)}, "float64")
    assert (missing.kind, missing.problem) == ("structure", "the candidate has no a")
    assert (extra.kind, extra.problem) == ("structure", "the reference has no b")


def test_cancellation_noise_is_judged_on_its_siblings_scale() -> None:
    noise = {"large": np.array([1.0]), "dead": np.array([1e-18])}
    found = {c.name: c for c in compare_all(noise, {**noise, "dead": np.array([3e-18])}, "float64")}
    assert found["dead"].dead
    assert found["dead"].error == pytest.approx(2e-18)


def test_a_parent_is_a_scale_like_a_sibling() -> None:
    assert _compared([0.0], [1e-16]).error > 1e200
    assert _compared([0.0], [1e-16], x=1.0).error == pytest.approx(1e-16)
    assert _compared([1e-3], [2e-3], x=1.0).error == pytest.approx(1.0), "not small enough to be noise"


def test_subnormal_numbers_may_be_flushed() -> None:
    assert _compared([TINY / 8], [0.0]).error == 0.0
    assert _compared([TINY * 8], [0.0]).error == pytest.approx(1.0)


def test_huge_numbers_do_not_overflow_the_norm() -> None:
    found = _compared(np.full(9, 1e200), np.full(9, 1e200 * (1 + 1e-3)))
    assert found.error == pytest.approx(1e-3)


def test_empty_arrays_and_scalars() -> None:
    assert _compared(np.zeros((0, 3)), np.zeros((0, 3))).error == 0.0
    found = _compared(2.0, 3.0)
    assert (found.error, found.where) == (0.5, "x")


def test_complex_numbers_are_compared_whole() -> None:
    assert _compared([1 + 1j], [1 - 1j]).error == pytest.approx(2 / np.sqrt(2))
