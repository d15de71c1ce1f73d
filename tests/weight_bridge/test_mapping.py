"""What a person writes: templates match whole names, patterns stay within parts, files read back as written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weight_bridge import Ignore, Leave, Mapping, MappingError, Pairing, PlanError, Rule, UsageError, plan
from weight_bridge.joint import Sum
from weight_bridge.mapping import dumps, fill, literal, load, loads, match, pattern_matches
from weight_bridge.transforms import Permute

NAMES = st.text("ab0._/{}*\\", min_size=1, max_size=12)


@given(NAMES, NAMES)
def test_a_literal_matches_its_name_alone(name: str, other: str) -> None:
    assert match(literal(name), name) == {}
    assert pattern_matches(literal(name).replace("{{", "{").replace("}}", "}"), name)
    if other != name:
        assert match(literal(name), other) is None


@given(st.integers(0, 999), st.sampled_from(["q", "key_proj"]))
def test_a_template_filled_matches_what_filled_it(number: int, word: str) -> None:
    variables = {"i": str(number), "name": word}
    template = "layers.{i}.{name}.weight"
    assert match(template, fill(template, variables)) == variables


@pytest.mark.parametrize(
    ("template", "name", "expected"),
    [
        ("layers.{i}.w", "layers.3.w", {"i": "3"}),
        ("layers.{i}.w", "layers.3.wx", None),
        ("layers.{i}.w", "xlayers.3.w", None),
        ("layers.{i}.w", "layers.3.4.w", None),
        ("layers.{i}.w", "layersx3.w", None),
        ("{a}.{b}.{a}", "x.y.x", {"a": "x", "b": "y"}),
        ("{a}.{b}.{a}", "x.y.z", None),
        ("blk_{i}/kernel", "blk_12/kernel", {"i": "12"}),
    ],
)
def test_templates(template: str, name: str, expected: dict[str, str] | None) -> None:
    assert match(template, name) == expected


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("head.*", "head.weight", True),
        ("head.*", "head.a.weight", False),
        ("head.**", "head.a.weight", True),
        ("**.bias", "a.b.bias", True),
        ("**.bias", "bias", False),
        ("hea", "head", False),
        ("h.ad", "head", False),
        ("params/**", "params/a/kernel", True),
    ],
)
def test_patterns(pattern: str, name: str, expected: bool) -> None:
    assert pattern_matches(pattern, name) is expected


def test_a_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    mapping = Mapping(
        rules=(
            Rule(("a.{i}.w",), ("a/{i}/kernel",), Permute((1, 0)), "tested"),
            Rule(("b.x", "b.y"), ("b",), Sum(), 'quoted "\\ text'),
        ),
        layers=(Pairing("c.{i}", "d_{i}"),),
        ignore=(Ignore("**.steps", "a counter"),),
        leave=(Leave("head/**", "trained anew"),),
    )
    (tmp_path / "m.toml").write_text(dumps(mapping))
    assert load(tmp_path / "m.toml") == mapping


UNUSABLE = """
other = 1
[[rule]]
source = "a.{i}"
target = "a/{j}"
[[rule]]
source = "a"
[[rule]]
source = "a.{i}{j}.w"
target = "a/{i}/{j}"
[[rule]]
source = "a"
target = "b"
transform = "turn(1)"
[[rule]]
source = 3
target = "b"
[[ignore]]
source = "a"
[[layer]]
source = "a.{0}"
target = "b"
[[leave]]
target = "a"
reason = "b"
because = "c"
"""


def test_every_entry_that_cannot_be_used_is_listed() -> None:
    with pytest.raises(MappingError) as refused:
        loads(UNUSABLE, "m.toml")
    known = (
        "agree, beside, blank, cast, combine, concat, copy, drop, each, fill, flatten, flip, identity, lead, "
        "lengthanddirection, permute, pick, regroup, reorder, reshape, shift, singularvectors, spectralnorm, split, "
        "stack, sum, unflatten, unstack, vacant, weightnorm"
    )
    assert str(refused.value).splitlines() == [
        "mapping m.toml: entries cannot be used",
        "  - [other]: not known; known: rule, layer, ignore, leave",
        "  - [[rule]] 1: every template of a rule has the same variables, got a.{i}, a/{j}",
        "  - [[rule]] 2: 'target' is missing",
        "  - [[rule]] 3: template 'a.{i}{j}.w': two variables in one part of a name leave open where one ends",
        f"  - [[rule]] 4: transform 'turn(1)': 'turn' is not known; known: {known}",
        "  - [[rule]] 5: expected a name or a list of names, got 3",
        "  - [[layer]] 1: template 'a.{0}': '{0}' is no variable; write {name}, or {{ for a brace",
        "  - [[ignore]] 1: 'reason' is missing",
        "  - [[leave]] 1: because is not known; known: target, reason",
    ]


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.toml: cannot be read: No such file or directory$"):
        load(tmp_path / "none.toml")
    (tmp_path / "no.toml").write_bytes(b"\xff")
    with pytest.raises(MappingError, match=r"no.toml: not TOML: it is no text in UTF-8$"):
        load(tmp_path / "no.toml")
    with pytest.raises(MappingError, match="not TOML"):
        loads("[[rule]")


def test_rules_that_cannot_hold_are_listed_with_the_rest() -> None:
    state = {"a.0.w": np.zeros((3, 5)), "a.1.w": np.zeros((3, 5)), "b": np.zeros(2)}
    target = {"a": {"0": {"w": np.zeros((5, 3))}, "1": {"w": np.zeros((3, 5))}}, "b": np.zeros(2)}
    rules = (
        Rule(("a.{i}.w",), ("a/{i}/w",), Permute((1, 0))),
        Rule(("none",), ("b",)),
        Rule(("b",), ("c",)),
    )
    with pytest.raises(PlanError) as refused:
        plan(state, target, mapping=Mapping(rules))
    assert str(refused.value).splitlines() == [
        "no plan from the state dict to dict: 3 problems",
        "  - a/1/w: expected shape [3, 5], got [5, 3] from a.1.w",
        "  - rule none -> b: no tensor has that name",
        "  - rule b -> c: the target has no leaf c",
    ]


MISNAMED = {
    'rule = [{source = "stem.weigth", target = "stem/kernel"}]': (
        "rule stem.weigth -> stem/kernel: no tensor has that name; the nearest is stem.weight"
    ),
    'rule = [{source = "stem.weight", target = "stem/kernl"}]': (
        "rule stem.weight -> stem/kernl: the target has no leaf stem/kernl; the nearest is stem/kernel"
    ),
    'layer = [{source = "stemm", target = "stem"}]': (
        "[[layer]] stemm: no layer of the checkpoint has that name; the nearest is stem"
    ),
    'layer = [{source = "stem", target = "stemm"}]': (
        "[[layer]] stemm: the target has no layer stemm; the nearest is stem"
    ),
}


@pytest.mark.parametrize(("written", "line"), MISNAMED.items())
def test_a_misspelt_name_is_told_with_the_nearest(written: str, line: str) -> None:
    with pytest.raises(PlanError) as refused:
        plan({"stem.weight": np.zeros((5, 3))}, {"stem": {"kernel": np.zeros((3, 5))}}, mapping=loads(written))
    assert refused.value.problems == (line,)


def test_a_leaf_that_a_problem_accounts_for_is_not_told_as_filled() -> None:
    rules = (Rule(("a",), ("c",)), Rule(("b",), ("c",)))
    with pytest.raises(PlanError) as refused:
        plan({"a": np.zeros(2), "b": np.zeros(3)}, {"c": np.zeros(3)}, mapping=Mapping(rules))
    assert refused.value.problems == ("c: expected shape [3], got [2] from a",)


def test_rules_that_fill_a_leaf_twice_are_refused() -> None:
    rules = (Rule(("a",), ("c",)), Rule(("b",), ("c",)))
    with pytest.raises(PlanError, match="rule b -> c: c is filled already"):
        plan({"a": np.zeros(3), "b": np.zeros(3)}, {"c": np.zeros(3)}, mapping=Mapping(rules))


def test_several_tensors_to_one_leaf_and_one_to_several() -> None:
    state = {"x": np.arange(3.0), "y": np.arange(3.0), "z": np.zeros((4, 2))}
    mapping = loads(
        """
        rule = [
          {source = ["x", "y"], target = "sum", transform = "sum()"},
          {source = "z", target = ["left", "right"], transform = "split(axis=0, sizes=[1, 3])"},
        ]
        """
    )
    found = plan(state, {"sum": np.zeros(3), "left": np.zeros((1, 2)), "right": np.zeros((3, 2))}, mapping=mapping)
    out = found.apply(state)
    assert out["sum"].tolist() == [0, 2, 4]
    assert out["left"].shape == (1, 2)
    assert [step.information for step in found.steps] == ["exact", "folded"]
    assert [step.verdict for step in found.steps] == ["written", "written"]


def test_a_layer_pairing_decides_between_siblings() -> None:
    state = {f"{name}.weight": np.zeros((5, 3)) for name in ("w1", "w3")}
    target = {name: {"kernel": np.zeros((3, 5))} for name in ("gate", "up")}
    mapping = loads('layer = [{source = "w1", target = "gate"}, {source = "w3", target = "up"}]')
    steps = plan(state, target, mapping=mapping).steps
    assert [(step.sources, step.targets, str(step.transform)) for step in steps] == [
        (("w1.weight",), ("gate/kernel",), "permute(1, 0)"),
        (("w3.weight",), ("up/kernel",), "permute(1, 0)"),
    ]
