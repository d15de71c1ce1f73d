"""Nested results as named leaves, the same for every framework, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from parity.structure import leaves, replaced


class Named(NamedTuple):
    mean: Any
    parts: Any


@dataclass
class Record:
    mean: Any
    parts: Any


@pytest.mark.parametrize("kind", [Named, Record, lambda mean, parts: {"mean": mean, "parts": parts}])
def test_a_dataclass_a_named_tuple_and_a_mapping_have_the_same_names(kind: Any) -> None:
    tree = kind(1.0, [2.0, (3.0, None)])
    assert dict(leaves(tree)) == {"output.mean": 1.0, "output.parts[0]": 2.0, "output.parts[1][0]": 3.0}


def test_one_leaf_is_the_whole_and_nothing_is_nothing() -> None:
    assert list(leaves(5.0)) == [("output", 5.0)]
    assert list(leaves(None)) == []
    assert list(leaves((), "input")) == []


@pytest.mark.parametrize("tree", [(1.0, [2.0]), {"a": (1.0,), "b": 2.0}, Named(1.0, 2.0), Record(1.0, 2.0), 1.0])
def test_leaves_are_put_back_where_they_were(tree: Any) -> None:
    doubled = replaced(tree, {name: 2 * value for name, value in leaves(tree)})
    assert type(doubled) is type(tree)
    assert dict(leaves(doubled)) == {name: 2 * value for name, value in leaves(tree)}


def test_leaves_without_a_new_value_stay() -> None:
    assert replaced({"a": 1.0, "b": 2.0}, {"output.b": 3.0}) == {"a": 1.0, "b": 3.0}
