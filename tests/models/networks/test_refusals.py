"""Both frameworks refuse what the original library refuses."""

from __future__ import annotations

import json
from typing import Any

import jax
import numpy as np
import pytest
import torch

import models.networks.jax
import models.networks.torch
from tests.models.networks.cases import GOLDEN, as_tuples, build_config

REFUSALS = json.loads((GOLDEN / "refusals.json").read_text())
NAMES = [f"{entry['module']}-{entry['exception']}-{k}" for k, entry in enumerate(REFUSALS)]
# These came out of torch itself; a ValueError that names the cause serves as well.
TORCHS_OWN = {"RuntimeError": RuntimeError, "TypeError": TypeError, "IndexError": IndexError}
OURS = {"AssertionError": AssertionError, "NotImplementedError": NotImplementedError, "ValueError": ValueError}


def expected(entry: dict[str, Any]) -> tuple[type[Exception], ...]:
    if entry["exception"] in OURS:
        return (OURS[entry["exception"]],)
    return (TORCHS_OWN[entry["exception"]], ValueError)


def arguments(entry: dict[str, Any]) -> dict[str, Any]:
    kwargs = {key: as_tuples(value) for key, value in entry["kwargs"].items()}
    return kwargs | {key: build_config(value) for key, value in entry["config"].items()}


def arrays(entry: dict[str, Any]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(size=given["shape"]).astype(np.float32) for given in entry["inputs"] or []]


@pytest.mark.parametrize("entry", REFUSALS, ids=NAMES)
def test_torch_refuses(entry):
    def attempt() -> None:
        module = getattr(models.networks.torch, entry["module"])(**arguments(entry))
        if entry["stage"] == "call":
            module(*map(torch.tensor, arrays(entry)))

    with pytest.raises(expected(entry)) as refusal:
        attempt()
    assert str(refusal.value)


@pytest.mark.parametrize("entry", REFUSALS, ids=NAMES)
def test_nnx_refuses(entry):
    keys = {} if entry["module"] == "Activation" else {"rngs": 0}

    def attempt() -> None:
        module = getattr(models.networks.jax, entry["module"])(**arguments(entry), **keys)
        if entry["stage"] == "call":
            module(*map(jax.numpy.asarray, arrays(entry)))

    with pytest.raises(expected(entry)) as refusal:
        jax.eval_shape(attempt)  # shapes decide all of these; nothing needs compiling
    assert str(refusal.value)


def test_the_list_is_whole():
    assert len(REFUSALS) == 35
    assert {entry["stage"] for entry in REFUSALS} == {"construct", "call"}
