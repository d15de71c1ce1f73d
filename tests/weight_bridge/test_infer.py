"""Inference from names and shapes alone: what real ports do is understood, what nothing decides is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from weight_bridge import Plan, PlanError, plan

Shapes = dict[str, tuple[int, ...]]


def planned(source: Shapes, target: Shapes, **options: object) -> Plan:
    state = {name: np.zeros(shape, np.float32) for name, shape in source.items()}
    tree: dict[str, object] = {}
    for path, shape in target.items():
        *folders, label = path.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})  # type: ignore[assignment]  # a tree of dicts
        node[label] = np.zeros(shape, np.float32)
    return plan(state, tree, **options)  # type: ignore[arg-type]  # options of plan


def pairs(found: Plan) -> dict[str, str]:
    return {step.targets[0]: step.sources[0] for step in found.steps}


def linear(name: str, out: int, into: int) -> Shapes:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def dense(path: str, into: int, out: int) -> Shapes:
    return {f"{path}/kernel": (into, out), f"{path}/bias": (out,)}


def norm(name: str, size: int) -> Shapes:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def scale(path: str, size: int) -> Shapes:
    return {f"{path}/scale": (size,), f"{path}/bias": (size,)}


PORTS: dict[str, tuple[Shapes, Shapes, dict[str, str]]] = {
    "same names": (linear("a", 5, 3), dense("a", 3, 5), {"a/kernel": "a.weight"}),
    "collection in front": (linear("a", 5, 3), dense("params/a", 3, 5), {"params/a/kernel": "a.weight"}),
    "index after underscore": (
        {**linear("layers.0", 7, 7), **linear("layers.10", 7, 7)},
        {**dense("layers_0", 7, 7), **dense("layers_10", 7, 7)},
        {"layers_0/kernel": "layers.0.weight", "layers_10/kernel": "layers.10.weight"},
    ),
    "index as a part": (
        {**linear("layers.0", 7, 7), **linear("layers.1", 7, 7)},
        {**dense("layers/0", 7, 7), **dense("layers/1", 7, 7)},
        {"layers/0/kernel": "layers.0.weight", "layers/1/kernel": "layers.1.weight"},
    ),
    "wrapped in layers": (
        {**linear("net.0", 7, 7), **norm("net.1", 7), **linear("net.3", 7, 7)},
        {**dense("net/layers/0", 7, 7), **scale("net/layers/1", 7), **dense("net/layers/3", 7, 7)},
        {"net/layers/3/kernel": "net.3.weight", "net/layers/1/scale": "net.1.weight"},
    ),
    "prefix on the source": (
        {f"bert.{n}": s for n, s in {**linear("enc.0.q", 7, 7), **linear("enc.1.q", 7, 7)}.items()},
        {**dense("enc/0/q", 7, 7), **dense("enc/1/q", 7, 7)},
        {"enc/1/kernel".replace("1/", "1/q/"): "bert.enc.1.q.weight"},
    ),
    "prefix on the target": (
        {**linear("enc.0.q", 7, 7), **linear("enc.1.q", 7, 7)},
        {**dense("model/enc/0/q", 7, 7), **dense("model/enc/1/q", 7, 7)},
        {"model/enc/0/q/kernel": "enc.0.q.weight"},
    ),
    "gamma and beta": (
        {"ln.gamma": (5,), "ln.beta": (5,)},
        scale("ln", 5),
        {"ln/scale": "ln.gamma", "ln/bias": "ln.beta"},
    ),
    "running statistics": (
        {**norm("bn", 5), "bn.running_mean": (5,), "bn.running_var": (5,)},
        {**scale("params/bn", 5), "batch_stats/bn/mean": (5,), "batch_stats/bn/var": (5,)},
        {"batch_stats/bn/mean": "bn.running_mean", "batch_stats/bn/var": "bn.running_var"},
    ),
    "projections renamed": (
        {n: s for k in "qkv" for n, s in linear(f"attn.{k}_proj", 7, 7).items()},
        {p: s for k in ("query", "key", "value") for p, s in dense(f"attn/{k}", 7, 7).items()},
        {"attn/query/kernel": "attn.q_proj.weight", "attn/value/kernel": "attn.v_proj.weight"},
    ),
    "containers renamed": (
        {n: s for i in range(3) for k in "qk" for n, s in linear(f"encoder.layer.{i}.self.{k}", 7, 7).items()},
        {p: s for i in range(3) for k in "qk" for p, s in dense(f"body/blocks_{i}/{k}", 7, 7).items()},
        {"body/blocks_2/k/kernel": "encoder.layer.2.self.k.weight"},
    ),
    "modules renamed, shapes tell": (
        {**linear("fc1", 5, 3), **linear("fc2", 2, 5)},
        {**dense("first", 3, 5), **dense("second", 5, 2)},
        {"first/kernel": "fc1.weight", "second/kernel": "fc2.weight"},
    ),
    "numbered by kind": (
        {**linear("0", 7, 3), **norm("1", 7), **linear("3", 7, 7), **linear("5", 7, 7), **norm("6", 7)},
        {
            **dense("Dense_0", 3, 7),
            **dense("Dense_1", 7, 7),
            **dense("Dense_2", 7, 7),
            **scale("LayerNorm_0", 7),
            **scale("LayerNorm_1", 7),
        },
        {"Dense_1/kernel": "3.weight", "Dense_2/kernel": "5.weight", "LayerNorm_1/scale": "6.weight"},
    ),
    "embedding": ({"tok.weight": (11, 11)}, {"tok/embedding": (11, 11)}, {"tok/embedding": "tok.weight"}),
    "convolutions": (
        {"c.weight": (5, 3, 2, 2), "d.weight": (7, 5, 3)},
        {"c/kernel": (2, 2, 3, 5), "d/kernel": (3, 5, 7)},
        {"c/kernel": "c.weight", "d/kernel": "d.weight"},
    ),
    "bare parameters": (
        {"temporal": (3, 25), "temporal_bias": (1, 5), "pos_emb.weight": (4, 6)},
        {"temporal": (3, 25), "temporal_bias": (1, 5), "pos_emb": (4, 6)},
        {"temporal": "temporal", "pos_emb": "pos_emb.weight"},
    ),
    "stored as (in, out) already": (
        {"c_attn.weight": (3, 5)},
        {"c_attn/kernel": (3, 5)},
        {"c_attn/kernel": "c_attn.weight"},
    ),
    "first head of two": (
        {**linear("head.a", 7, 5), **linear("head.b", 7, 5)},
        {**dense("heads/a", 5, 7), **dense("heads/b", 5, 7)},
        {"heads/b/kernel": "head.b.weight"},
    ),
}


@pytest.mark.parametrize(("source", "target", "expected"), PORTS.values(), ids=PORTS)
def test_ports_are_understood(source: Shapes, target: Shapes, expected: dict[str, str]) -> None:
    found = pairs(planned(source, target))
    assert {path: found[path] for path in expected} == expected
    assert sorted(found.values()) == sorted(source)


@pytest.mark.parametrize(("source", "target", "expected"), PORTS.values(), ids=PORTS)
def test_a_structure_file_is_enough_in_any_order(
    source: Shapes, target: Shapes, expected: dict[str, str], tmp_path: Path
) -> None:
    entries = [{"path": path, "shape": list(shape), "dtype": "float32"} for path, shape in target.items()]
    texts: set[str] = set()
    for order in (entries, entries[::-1]):
        (tmp_path / "structure.json").write_text(json.dumps([{**entry, "variable": "Param"} for entry in order]))
        state = {name: np.zeros(shape, np.float32) for name, shape in source.items()}
        found = plan(state, str(tmp_path / "structure.json"))
        assert {path: pairs(found)[path] for path in expected} == expected
        texts.add(str(found))
    assert len(texts) == 1


UNDECIDED = "neither layer types nor shapes nor names decide"
MAPPING = "a [[layer]] or [[rule]] of --mapping can"


def unfilled(path: str, shape: list[int], candidates: str) -> str:
    return f"{path} float32{shape}: no tensor fills it; {candidates}; --allow-missing '{path}' leaves it empty"


REFUSED: dict[str, tuple[Shapes, Shapes, list[str]]] = {
    "square without a type or a name that tells": (
        {"a.weight": (7, 7)},
        {"a/weight": (7, 7)},
        [
            f"a/weight from a.weight float32[7, 7]: identity() or permute(1, 0)? {UNDECIDED}",
        ],
    ),
    "same-shaped siblings": (
        {"w1.weight": (5, 3), "w3.weight": (5, 3)},
        {"gate/kernel": (3, 5), "up/kernel": (3, 5)},
        [
            f"gate/kernel [3, 5]: ambiguous, nothing decides between w1.weight [5, 3], w3.weight [5, 3]; {MAPPING}",
            f"up/kernel [3, 5]: ambiguous, nothing decides between w1.weight [5, 3], w3.weight [5, 3]; {MAPPING}",
        ],
    ),
    "one sibling by elimination": (
        {"w1.weight": (5, 3), "w2.weight": (5, 3)},
        {"w1/kernel": (3, 5), "other/kernel": (3, 5)},
        [
            "w2.weight float32[5, 3]: no leaf of the target takes it; --drop 'w2.weight' leaves it out",
            unfilled("other/kernel", [3, 5], "unused tensors of these extents: w2.weight [5, 3]"),
        ],
    ),
    "a sequence of another length": (
        {f"{i}.weight": (7, 7) for i in (0, 2, 4)},
        {f"Dense_{i}/kernel": (7, 7) for i in (0, 1)},
        [],
    ),
    "wrong shape": (
        {"a.weight": (5, 4), "a.bias": (5,)},
        {"a/kernel": (3, 5), "a/bias": (5,)},
        ["a/kernel: expected shape [3, 5], got a.weight of shape [5, 4], which permute(1, 0) turns into [4, 5]"],
    ),
    "transposed or not": (
        {"a.weight": (4, 5, 3, 3)},
        {"a/kernel": (3, 3, 4, 5)},
        [
            (
                "a/kernel: expected shape [3, 3, 4, 5], got a.weight of shape [4, 5, 3, 3], which permute(2, 3, 1, 0) "
                "turns into [3, 3, 5, 4]; --source tells whether it is a transposed convolution"
            )
        ],
    ),
    "missing and extra": (
        {"a.weight": (5, 3), "head.weight": (2, 5)},
        {"a/kernel": (3, 5), "a/bias": (5,)},
        [
            "head.weight float32[2, 5]: no leaf of the target takes it; --drop 'head.weight' leaves it out",
            unfilled("a/bias", [5], "no unused tensor has these extents"),
        ],
    ),
    "a bare parameter of another shape": (
        {"p": (3, 5)},
        {"p": (5, 3)},
        ["p: expected shape [5, 3], got p of shape [3, 5]"],
    ),
}


@pytest.mark.parametrize(("source", "target", "lines"), REFUSED.values(), ids=REFUSED)
def test_what_nothing_decides_is_refused(source: Shapes, target: Shapes, lines: list[str]) -> None:
    with pytest.raises(PlanError) as refused:
        planned(source, target)
    if lines:
        assert list(refused.value.problems) == lines


def test_patterns_let_a_head_go_and_stay() -> None:
    source, target = linear("body", 5, 3) | linear("old.head", 2, 5), dense("body", 3, 5) | dense("new", 5, 11)
    found = planned(source, target, drop=["old.**"], allow_missing=["new/*"])
    assert [(entry.name, entry.reason) for entry in found.ignored] == [
        ("old.head.weight", "dropped by 'old.**'"),
        ("old.head.bias", "dropped by 'old.**'"),
    ]
    assert [(entry.path, entry.reason) for entry in found.unfilled] == [
        ("new/kernel", "allowed by 'new/*'"),
        ("new/bias", "allowed by 'new/*'"),
    ]


def test_derivable_buffers_are_ignored_with_a_reason() -> None:
    state = {
        "bn.weight": np.zeros(3),
        "bn.num_batches_tracked": np.array(7),
        "embed.position_ids": np.arange(5)[None],
        "rotary.inv_freq": np.zeros(3),
    }
    found = plan(state, {"bn": {"scale": np.zeros(3)}})
    assert {entry.name: entry.reason for entry in found.ignored} == {
        "bn.num_batches_tracked": "a counter that inference never reads and training reads only without momentum",
        "embed.position_ids": "a table of consecutive or constant numbers, made anew from the configuration",
        "rotary.inv_freq": "rotary frequencies, made anew from the configuration",
    }
    with pytest.raises(PlanError, match="inv_freq"):
        plan({**state, "rotary.inv_freq": np.zeros((3, 5))}, {"bn": {"scale": np.zeros(3)}})


def test_strict_refuses_what_is_assumed() -> None:
    with pytest.raises(PlanError) as refused:
        planned({"a.weight": (5, 3)}, {"a/kernel": (3, 5)}, strict=True)
    (line,) = refused.value.problems
    why = "same name; types unknown, (out, in) to (in, out) by shape"
    assert line == f"a/kernel: only assumed ({why}); --source or a rule settles it, or drop --strict"


def test_kinds_of_numbers_are_never_converted() -> None:
    with pytest.raises(PlanError) as refused:
        plan({"a": np.zeros(3, np.float32)}, {"a": np.zeros(3, np.int32)})
    assert refused.value.problems == ("a: expected int32, got float32 from a; kinds are never converted",)
