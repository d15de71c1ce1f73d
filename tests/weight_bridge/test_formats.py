"""Every output format is what its own library reads, and a converted file fills a model again in three lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx, serialization

import weight_bridge
from tests.weight_bridge.ported import TorchPort, linen_port, nnx_port
from weight_bridge.checkpoint import Checkpoint, open_checkpoint
from weight_bridge.conversion import convert_file
from weight_bridge.plan import Plan
from weight_bridge.tree import nest

FORMATS = ("safetensors", "msgpack", "orbax")
DTYPES = (
    np.float64,
    np.float16,
    ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn,
    np.int8,
    np.uint64,
    np.bool_,
    np.complex64,
)


def one_of_each_dtype() -> tuple[Plan, Checkpoint]:
    """Leaves of distinct extents, one per dtype, and an empty path below another folder."""
    rng = np.random.default_rng(0)
    state = {f"a.p{number}": rng.integers(0, 2, (3, 5 + number)).astype(dtype) for number, dtype in enumerate(DTYPES)}
    checkpoint = open_checkpoint(state)
    target = nest({name.replace(".", "/"): array for name, array in state.items()})
    return weight_bridge.plan(checkpoint, target), checkpoint


def flat(tree: Any, at: str = "") -> dict[str, np.ndarray]:
    """Path → array of nested dicts."""
    if not isinstance(tree, dict):
        return {at: np.asarray(tree)}
    return {path: leaf for key, node in tree.items() for path, leaf in flat(node, f"{at}/{key}" if at else key).items()}


@pytest.mark.parametrize("file_format", ["msgpack", "orbax"])
def test_a_format_s_own_library_reads_every_dtype(file_format: str, tmp_path: Path) -> None:
    decided, checkpoint = one_of_each_dtype()
    receipt = convert_file(decided, checkpoint, tmp_path / "out", file_format=file_format)
    if file_format == "msgpack":
        again = flat(serialization.msgpack_restore(Path(receipt.out).read_bytes()))
    else:
        with ocp.PyTreeCheckpointer() as checkpointer:
            again = flat(checkpointer.restore((tmp_path / "out").absolute()))
    wanted = {name.replace(".", "/"): tensor.read() for name, tensor in checkpoint.tensors.items()}
    assert {path: (leaf.dtype, leaf.tobytes()) for path, leaf in again.items()} == {
        path: (leaf.dtype, leaf.tobytes()) for path, leaf in wanted.items()
    }


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_converted_file_fills_a_model_again(file_format: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(TorchPort())
    convert_file(weight_bridge.plan(checkpoint, nnx_port), checkpoint, tmp_path / "out", file_format=file_format)
    wanted = nnx.to_flat_state(nnx.state(weight_bridge.load(nnx_port(), checkpoint), nnx.Param))
    model = weight_bridge.load(nnx_port(), tmp_path / "out")
    found = dict(nnx.to_flat_state(nnx.state(model, nnx.Param)))
    assert all(np.array_equal(found[path].get_value(), leaf.get_value()) for path, leaf in wanted)
    assert weight_bridge.plan(tmp_path / "out", nnx_port, strict=True).counts() == {"proved": 16}


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_converted_file_becomes_linen_s_variables_again(file_format: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(TorchPort())
    convert_file(weight_bridge.plan(checkpoint, linen_port), checkpoint, tmp_path / "out", file_format=file_format)
    wanted = weight_bridge.convert(checkpoint, linen_port)
    found = weight_bridge.convert(tmp_path / "out", linen_port)
    assert jax.tree.all(jax.tree.map(np.array_equal, wanted, found))


def test_a_converted_file_of_another_model_is_refused_whole(tmp_path: Path) -> None:
    target = {"a": {"kernel": np.zeros((3, 5)), "bias": np.zeros(5)}}
    checkpoint = open_checkpoint({"a.weight": np.zeros((5, 3)), "a.bias": np.zeros(5)})
    convert_file(weight_bridge.plan(checkpoint, target), checkpoint, tmp_path / "x.safetensors")
    with pytest.raises(weight_bridge.PlanError) as refused:
        weight_bridge.plan(tmp_path / "x.safetensors", {"a": {"kernel": np.zeros((5, 3))}, "b": np.zeros(7)})
    assert str(refused.value).splitlines() == [
        f"{tmp_path / 'x.safetensors'} does not hold the leaves of dict",
        "  - a/kernel: expected shape [5, 3], got [3, 5]",
        "  - b float64[7]: not there; --allow-missing 'b' leaves it empty",
        "  - a/bias: the target has no such leaf; --drop 'a/bias' leaves it out",
    ]


def test_safetensors_above_a_size_are_several_files_and_an_index(tmp_path: Path) -> None:
    decided, checkpoint = one_of_each_dtype()
    receipt = convert_file(decided, checkpoint, tmp_path / "out", shard=200)
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files[-1] == "model.safetensors.index.json"
    assert len(files) > 3
    assert receipt.out == str(tmp_path / "out")
    again = open_checkpoint(tmp_path / "out")
    assert again.converted
    assert {path: leaf.read().tobytes() for path, leaf in again.tensors.items()} == {
        name.replace(".", "/"): tensor.read().tobytes() for name, tensor in checkpoint.tensors.items()
    }
