"""Leaves on a mesh: every process reads its own slices alone, and several write one checkpoint together."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import weight_bridge
from weight_bridge.checkpoint import open_checkpoint
from weight_bridge.joint import Beside, Concat, Copy, Each, Reorder, Split, Stack, Sum, Unstack
from weight_bridge.regions import Stored, traced
from weight_bridge.spec import spec_of
from weight_bridge.transforms import Cast, Flip, Identity, Permute, Reshape, Transform, chain

ROOT = Path(__file__).parents[2]
WIDTH, INNER = 16, 24

WORKER = """
import json, sys
from dataclasses import replace
import jax, numpy as np
jax.distributed.initialize(f"127.0.0.1:{sys.argv[1]}", 2, int(sys.argv[2]))
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import orbax.checkpoint as ocp
import weight_bridge
from weight_bridge.checkpoint import open_checkpoint

class Counted(np.ndarray):
    read = 0
    def __getitem__(self, at):
        found = super().__getitem__(at)
        Counted.read += found.nbytes
        return found

opened = open_checkpoint(sys.argv[3] + "/model.safetensors")
counted = {n: replace(t, read=lambda t=t: t.read().view(Counted)) for n, t in opened.tensors.items()}
mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("host", "chip"))
shardings = {
    "up/kernel": NamedSharding(mesh, P(None, ("host", "chip"))),
    "down/kernel": NamedSharding(mesh, P("host", "chip")),
    "**": NamedSharding(mesh, P()),
}
target = {
    "up": {"kernel": np.empty((16, 24), np.float32)},
    "down": {"kernel": np.empty((24, 16), np.float32)},
    "scale": np.empty(16),
}
tree = weight_bridge.convert(replace(opened, tensors=counted), target, sharding=shardings)
with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(sys.argv[3] + "/out", tree)
held = {"/".join(k.key for k in path): len(leaf.addressable_shards) for path, leaf in jax.tree.leaves_with_path(tree)}
print(json.dumps({"read": Counted.read, "devices": jax.device_count(), "held": held}))
"""


def test_two_processes_read_their_slices_and_write_one_checkpoint(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    state: dict[str, Any] = {
        "up.weight": rng.normal(size=(INNER, WIDTH)).astype(np.float32),
        "down.weight": rng.normal(size=(WIDTH, INNER)).astype(np.float32),
        "scale": rng.normal(size=WIDTH),
    }
    save_file(state, tmp_path / "model.safetensors")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(port), str(number), str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        ended = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(error[-2000:] for _, error in ended)
    told = [json.loads(out.splitlines()[-1]) for out, _ in ended]
    half = state["up.weight"].nbytes // 2 + state["down.weight"].nbytes // 2
    replicas = {record["read"] - half for record in told}
    assert [record["devices"] for record in told] == [8, 8]
    assert replicas <= {state["scale"].nbytes, 4 * state["scale"].nbytes}
    written = open_checkpoint(tmp_path / "out").tensors
    assert np.array_equal(written["up/kernel"].read(), state["up.weight"].T)
    assert np.array_equal(written["down/kernel"].read(), state["down.weight"].T)
    assert np.array_equal(written["scale"].read(), state["scale"])


@pytest.mark.parametrize(
    ("transform", "count"),
    [
        (Identity(), 1),
        (chain(Permute((2, 0, 1)), Flip((0, 2))), 1),
        (Split(1, (2, 3)), 1),
        (Concat(1), 3),
        (Stack(1), 3),
        (Unstack(2), 1),
        (chain(Concat(0), Reshape((4, 3, 5, 7)), Permute((3, 1, 0, 2))), 4),
        (chain(Reorder((2, 0, 1)), Each(Permute((1, 0, 2))), Stack(0)), 3),
        (Beside((Flip((0,)), Identity())), 2),
        (Sum(), 2),
        (Copy(2), 1),
        (Cast("float32"), 1),
    ],
    ids=str,
)
def test_a_region_of_a_result_is_that_of_the_whole(transform: Transform, count: int) -> None:
    arrays = tuple(np.random.default_rng(i).normal(size=(3, 5, 7)) for i in range(count))
    parts = traced(transform, [Stored(spec_of(array), lambda array=array: array) for array in arrays])
    for part, whole in zip(parts, transform.apply(arrays), strict=True):
        assert part.spec == spec_of(whole)
        assert np.array_equal(part.whole(), whole)
        region = tuple(slice(extent // 3, extent // 3 + (extent + 1) // 2) for extent in whole.shape)
        assert np.array_equal(part.at(region), whole[region])


def test_a_module_is_filled_on_its_devices() -> None:
    import jax
    from flax import nnx

    class Model(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs) -> None:
            self.up = nnx.Linear(WIDTH, INNER, rngs=rngs)

    state = {"up.weight": np.ones((INNER, WIDTH), np.float32), "up.bias": np.arange(INNER, dtype=np.float32)}
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = nnx.eval_shape(lambda: Model(rngs=nnx.Rngs(0)))
    filled = weight_bridge.load(abstract, state, sharding={"*/kernel": device, "**": device})
    assert np.array_equal(filled.up.bias[...], state["up.bias"])
    assert filled.up.kernel[...].sharding == device
    with pytest.raises(weight_bridge.UsageError, match=r"no pattern matches these leaves(?s:.*)up/bias"):
        weight_bridge.convert(state, abstract, sharding={"*/kernel": device})
    broken = {**state, "up.bias": np.where(state["up.bias"] == 5, np.nan, state["up.bias"])}
    with pytest.raises(weight_bridge.ConversionError, match=r"up/bias: 1 of 24 elements are NaN, the first at \[5\]"):
        weight_bridge.convert(broken, abstract, sharding=device)
