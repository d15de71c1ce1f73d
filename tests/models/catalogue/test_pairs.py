from __future__ import annotations

import importlib

import pytest

from parity.discovery import all_pairs
from parity.pytest_plugin import Choices
from parity.suite import explored

PAIRS = {pair.name: pair for _, _, pair in all_pairs("models.catalogue")}
FAMILIES = sorted({name.partition(".")[0] for name in PAIRS})


@pytest.mark.parity
@pytest.mark.parametrize("name", PAIRS)
def test_reference_and_candidate_agree(name: str, parity_choices: Choices) -> None:
    report = explored(PAIRS[name], "nnx", parity_choices, examples=5)
    assert report.ok, report


def test_names_are_unique_and_begin_with_their_family() -> None:
    found = [(module, pair.name) for module, _, pair in all_pairs("models.catalogue")]
    assert len({name for _, name in found}) == len(found)
    assert all(module == f"models.catalogue.{name.partition('.')[0]}.pair" for module, name in found)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_declares_how_ports_break_it(family: str) -> None:
    module = importlib.import_module(f"models.catalogue.{family}.faults")
    assert module.FAULTS
    assert {fault.group for fault in module.FAULTS} == {family}
