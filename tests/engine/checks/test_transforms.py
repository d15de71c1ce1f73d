"""`transforms` sees a candidate that computes something else when it is compiled, vectorised, looped or spread."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.engine.checks.ports import (
    Dropping,
    DroppingPort,
    Net,
    Normed,
    NormedPort,
    Port,
    examined,
    inputs,
    result,
    tried,
)


@pytest.mark.parametrize(
    "trial",
    [
        lambda: tried(Net(), Port()),
        lambda: tried(Normed(), NormedPort(), modes=("eval", "train")),
        lambda: tried(Dropping(), DroppingPort(), modes=("train",)),
        lambda: tried(Net(), Port(), precision="float32"),
    ],
    ids=["plain", "buffers", "dropout", "float32"],
)
def test_right_ports_pass(trial: Any) -> None:
    found = result("transforms", trial())
    assert found.ok, found
    assert found.leaves > 5


def test_a_branch_that_is_taken_when_traced() -> None:
    def traced(x: jax.Array) -> jax.Array:
        return jnp.tanh(x) if isinstance(x, jax.core.Tracer) else jnp.tanh(x) * 1.001

    trial = tried(Net(), Port(traced))
    assert result("forward", trial).ok
    found = result("transforms", trial)
    assert not found.ok
    assert "operation by operation" in found.worst


def test_a_rule_for_batches_of_its_own() -> None:
    @jax.custom_batching.custom_vmap
    def tanh(x: jax.Array) -> jax.Array:
        return jnp.tanh(x)

    @tanh.def_vmap
    def _(size: int, batched: Any, x: jax.Array) -> Any:
        return jnp.tanh(x) * 0.5, True

    class Forward(Port):
        def __call__(self, x: jax.Array) -> jax.Array:
            still = jax.lax.stop_gradient(x)
            return super().__call__(x) + tanh(still).sum() - jnp.tanh(still).sum()

    trial = tried(Net(), Forward())
    assert result("forward", trial).ok
    found = result("transforms", trial)
    assert not found.ok
    assert "vectorised" in found.worst


def test_a_candidate_that_cannot_be_vectorised_is_noted() -> None:
    def called(x: jax.Array) -> jax.Array:
        spec = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(np.tanh, spec, x)

    class Calling(Port):
        def __call__(self, x: jax.Array) -> jax.Array:
            return super().__call__(x) + 0 * called(jax.lax.stop_gradient(x)).sum()

    trial = tried(Net(), Calling())
    notes = [note.text for note in examined("transforms", trial).notes]
    assert notes
    assert notes[0].startswith("transforms: the candidate does not run vectorised: ")


SPREAD = """
import jax
from jax.experimental.custom_partitioning import custom_partitioning
from tests.engine.checks.ports import Net, Port, inputs, result, tried


def centred(x):
    return x - x.mean(0)


local = custom_partitioning(centred)
local.def_partition(
    infer_sharding_from_operands=lambda mesh, given, result: given[0].sharding,
    partition=lambda mesh, given, result: (mesh, centred, given[0].sharding, (given[0].sharding,)),
    sharding_rule="i j -> i j",
)


class Local(Port):
    def __call__(self, x):
        still = jax.lax.stop_gradient(x)
        return super().__call__(x) + jax.numpy.abs(local(still) - centred(still)).sum()


assert len(jax.devices()) == 4
for port in (Port, Local):
    trial = tried(Net(), port(), inputs(8, 5), precision="float32")
    assert result("forward", trial).ok
    found = result("transforms", trial)
    print(found.ok, found.leaves, "over all devices" in found.worst)
"""


def test_spread_over_several_devices() -> None:
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    root = str(Path(__file__).parents[3])
    environment["PYTHONPATH"] = root
    done = subprocess.run([sys.executable, "-c", SPREAD], capture_output=True, text=True, env=environment, cwd=root)
    assert done.returncode == 0, done.stderr
    right, wrong = (line.split() for line in done.stdout.splitlines())
    alone = result("transforms", tried(Net(), Port(), inputs(8, 5), precision="float32"))
    assert right[0] == "True"
    assert int(right[1]) > alone.leaves, "the run over all devices is one more than on a single one"
    assert (wrong[0], wrong[2]) == ("False", "True")
