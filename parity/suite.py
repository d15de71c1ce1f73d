"""Pairs as pytest tests in anybody's suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from parity._errors import DivergenceError
from parity.checks import chosen_by
from parity.harness import check
from parity.pair import Pair
from parity.pytest_plugin import Choices
from parity.report import Report
from parity.reproduction import address, command


def as_test(pair: Pair, *, examples: int | None = None) -> Callable[..., None]:
    """Turns a pair into a test, one case per candidate, selected by `pytest -k parity`.

    Args:
      pair: the claim.
      examples: how many to draw; `--parity-examples` and its default otherwise.

    Returns:
      A test function for assignment: `test_mine = parity.as_test(MINE)`.
    """

    @pytest.mark.parity
    @pytest.mark.parametrize("candidate", list(pair.candidates))
    def test_parity(candidate: str, parity_choices: Choices) -> None:
        run(pair, candidate, parity_choices, examples)

    test_parity.__doc__ = f"{pair.name}: reference and candidate agree."
    return test_parity


def given(pair: Pair, *, examples: int | None = None) -> Callable[[Callable[[Report], Any]], Callable[..., None]]:
    """Hands the report of every candidate of a pair to a test of one's own, failing or not.

    Args:
      pair: the claim.
      examples: how many to draw.

    Returns:
      A decorator for tests that take the report.
    """

    def decorate(test: Callable[[Report], Any]) -> Callable[..., None]:
        @pytest.mark.parity
        @pytest.mark.parametrize("candidate", list(pair.candidates))
        def test_parity(candidate: str, parity_choices: Choices) -> None:
            test(explored(pair, candidate, parity_choices, examples))

        test_parity.__name__ = test.__name__
        test_parity.__doc__ = test.__doc__
        return test_parity

    return decorate


def run(pair: Pair, candidate: str, choices: Choices, examples: int | None = None) -> None:
    """Explores one candidate and raises when it diverges.

    Raises:
      DivergenceError: with the report.
    """
    report = explored(pair, candidate, choices, examples)
    if not report.ok:
        raise DivergenceError(report)


def explored(pair: Pair, candidate: str, choices: Choices, examples: int | None) -> Report:
    """The report of one candidate under pytest's choices, which also keep it for `--parity-report`."""
    count = next(n for n in (choices.examples, examples, 25) if n is not None)
    how: dict[str, Any] = {"examples": count, "precision": choices.precision, "device": choices.device}
    how["seed"] = choices.seed
    report = check(pair, candidate=candidate, checks=chosen_by(choices.checks), **how)
    if not report.ok:
        report = replace(report, reproduce=command(address(pair), candidate, checks=choices.checks, **how))
    choices.keep(report)
    return report
