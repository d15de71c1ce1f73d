"""Ports known only by their `structure.json`: named as people name them, mapped without a rule, or refused in full."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.weight_bridge.structures import ACCEPTED, REFUSED, Structure, structure
from weight_bridge import Plan, PlanError, plan

MAPPING = "a [[layer]] or [[rule]] of --mapping can"


def planned(found: Structure, folder: Path) -> Plan:
    """Plans with nothing but the structure; the leaves stand in another order than the tensors."""
    entries = [{"path": path, "shape": list(shape), "dtype": "float32"} for path, shape in found.target.items()]
    (folder / "structure.json").write_text(json.dumps(entries[::-1]))
    state = {name: np.broadcast_to(np.float32(0), shape) for name, shape in found.source.items()}
    return plan(state, str(folder / "structure.json"))


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_structure_is_mapped_without_rules(name: str, tmp_path: Path) -> None:
    found = structure(ACCEPTED[name])
    steps = planned(found, tmp_path).steps
    assert {path: step.sources for step in steps for path in step.targets} == found.truth


def between(candidates: str, *leaves: str) -> tuple[str, ...]:
    """The lines on leaves that nothing tells apart."""
    return tuple(f"{leaf}: ambiguous, nothing decides between {candidates}; {MAPPING}" for leaf in leaves)


ADAPTER = (
    "base_model.model.q.lora_A.weight and 1 more: a PEFT adapter without its base model; its scaling is not in the "
    "tensors. Load it onto its base in torch (PeftModel.from_pretrained), merge it (model.merge_and_unload()) and "
    "convert the merged state dict"
)
ADAPTERS = (
    "base_model.model.q.lora_A.default.weight and 1 more: a model with LoRA adapters beside its weights; its scaling "
    "is not in the tensors. Merge it in torch (model.merge_and_unload()) and convert the merged state dict"
)
FLATTENED = (
    "classifier/layers_0/kernel from classifier.0.weight [7, 100]: its 100 inputs may be 4 channels of features.0 × 25 "
    "places, which torch flattens channels first and the target perhaps channels last; nothing tells. --source may, "
    "with the layers' types and their order. A [[layer]] of --mapping with "
    'source = "classifier.0", target = "classifier/layers_0" takes it as it stands, channels_last = 4 '
    "beside these turns it"
)
LINES: dict[str, tuple[str, ...]] = {
    "siblings renamed to words that say nothing": between(
        "mlp.w1.weight [6, 5], mlp.w3.weight [6, 5]", "mlp/alpha/kernel [5, 6]", "mlp/beta_net/kernel [5, 6]"
    ),
    "an encoder and a decoder renamed alike": between(
        "left.fc.weight [6, 5], right.fc.weight [6, 5]", "first/fc/kernel [5, 6]", "second/fc/kernel [5, 6]"
    ),
    "a head that the target lacks": (
        "head.weight float32[3, 6]: no leaf of the target takes it; --drop 'head.weight' leaves it out",
    ),
    "LoRA beside its base": (ADAPTERS,),
    "an adapter without its base": (ADAPTER,),
    "a flattened image": (FLATTENED,),
    "attention's parts renamed": between(
        "attn.a.weight [8, 8], attn.b.weight [8, 8], attn.c.weight [8, 8]",
        "attn/query/kernel [8, 8]",
        "attn/key/kernel [8, 8]",
        "attn/value/kernel [8, 8]",
    ),
    "directions renamed": between(
        "layer.fwd_a.weight [6, 5], layer.fwd_b.weight [6, 5]", "layer/x/kernel [5, 6]", "layer/y/kernel [5, 6]"
    ),
    "experts without numbers": between(
        "experts.red.weight [6, 5], experts.blue.weight [6, 5]",
        "experts/north/kernel [5, 6]",
        "experts/south/kernel [5, 6]",
    ),
    "tables of one size": between(
        "user.weight [7, 5], item.weight [7, 5]", "left/embedding [7, 5]", "right/embedding [7, 5]"
    ),
    "gains of one size": between("pre.weight [6], post.weight [6]", "x1/scale [6]", "x2/scale [6]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_structure_that_does_not_tell_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError) as refused:
        planned(structure(REFUSED[name]), tmp_path)
    assert sorted(refused.value.problems) == sorted(LINES[name])
