"""Conversion of a checkpoint against copying it: `cp`, load-and-save, the naive way, and weight_bridge, in one run.

usage: python -m benchmarks.convert [--size 4] [--dtype bfloat16] [--repeats 3] [--folder DIR] [--warm]

Builds a sharded checkpoint with a language model's names (projections, embedding, norms, some convolutions), converts
it by each contender in a process of its own, and removes everything. Files are not in the system's cache when a
contender starts, unless `--warm`; all bring their output to the disk. Imports are not timed. Seconds are medians;
memory is the largest resident size of the process, in which mapped files count.

cp            copies the files
load + save   safetensors' own load_file and save_file, shard by shard
naive         loads all, transposes what a port transposes with numpy, saves one file
weight_bridge plans, checks, converts, writes, reads back and verifies; then the part of it that verifies
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

SHARD = 1_000_000_000
WIDTHS = {"bfloat16": 2, "float32": 4}

Shapes = dict[str, tuple[int, ...]]


class Usage(NamedTuple):
    """What one run took: seconds on the wall and on the processors, and bytes of memory at most."""

    wall: float
    processor: float
    memory: float


def shapes(size: float, width: int) -> Shapes:
    """Names and shapes of a language model of about `size` bytes."""
    hidden = next(h for h in (4096, 2048, 1024, 512, 256, 128) if size > 8 * width * (12 * h * h) or h == 128)
    inner, words = hidden * 11 // 4, hidden * 8
    found: Shapes = {"model.embed_tokens.weight": (words, hidden)}
    found |= {f"vision.conv{i}.weight": (hidden // 4, hidden // 4, 3, 3) for i in range(4)}
    tail: Shapes = {"model.norm.weight": (hidden,), "lm_head.weight": (words, hidden)}
    layer = 0
    while width * sum(map(_product, (found | tail).values())) < size:
        head = f"model.layers.{layer}"
        found |= {f"{head}.self_attn.{name}_proj.weight": (hidden, hidden) for name in "qkvo"}
        found |= {f"{head}.mlp.{name}_proj.weight": (inner, hidden) for name in ("gate", "up")}
        found |= {f"{head}.mlp.down_proj.weight": (hidden, inner), f"{head}.input_layernorm.weight": (hidden,)}
        layer += 1
    return found | tail


def _product(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def leaf(name: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """The path and shape that a Flax model gives a tensor."""
    owner = name.removesuffix(".weight").replace(".", "/")
    if "norm" in name or "embed" in name:
        return f"{owner}/{'scale' if 'norm' in name else 'embedding'}", shape
    return f"{owner}/kernel", (*shape[2:], shape[1], shape[0])


def build(folder: Path, size: float, dtype: str) -> Path:
    """Writes the checkpoint's shards, its index and the target's structure; returns the checkpoint's folder."""
    import torch
    from safetensors.torch import save_file

    rng = np.random.default_rng(0)
    source = folder / "source"
    source.mkdir()
    weight_map: dict[str, str] = {}
    shard: dict[str, torch.Tensor] = {}

    def flush() -> None:
        file = f"model-{len(set(weight_map.values())) + 1:05}.safetensors"
        save_file(shard, source / file)
        weight_map.update(dict.fromkeys(shard, file))
        shard.clear()

    entries: list[dict[str, Any]] = []
    for name, shape in shapes(size, WIDTHS[dtype]).items():
        bits = rng.integers(0, 2**32, _product(shape) * WIDTHS[dtype] // 4, np.uint32)
        bits &= np.uint32(0xBFFFBFFF if dtype == "bfloat16" else 0xBFFFFFFF)  # no NaN, no infinity
        shard[name] = torch.from_numpy(bits).view(getattr(torch, dtype)).reshape(shape)
        path, extents = leaf(name, shape)
        entries.append({"path": path, "shape": extents, "dtype": dtype})
        if sum(tensor.nbytes for tensor in shard.values()) > SHARD:
            flush()
    if shard:
        flush()
    (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "structure.json").write_text(json.dumps(entries))
    return source


def load_and_save(source: Path, out: Path) -> Callable[[], object]:
    """Safetensors' own reading and writing."""
    from safetensors.torch import load_file, save_file

    out.mkdir()
    return lambda: [save_file(load_file(path), out / path.name) for path in sorted(source.glob("*.safetensors"))]


def naive(source: Path, out: Path) -> Callable[[], object]:
    """Everything in memory, each kernel transposed by numpy."""
    import torch
    from safetensors.torch import load_file, save_file

    out.mkdir()

    def convert() -> None:
        state = {name: tensor for path in source.glob("*.safetensors") for name, tensor in load_file(path).items()}
        flax: dict[str, torch.Tensor] = {}
        for name, tensor in state.items():
            path, shape = leaf(name, tuple(tensor.shape))
            bits = tensor.view(torch.int16 if tensor.itemsize == 2 else torch.int32).numpy()
            if path.endswith("kernel"):
                bits = np.ascontiguousarray(np.transpose(bits, (*range(2, bits.ndim), 1, 0)))
            flax[path] = torch.from_numpy(bits).view(tensor.dtype)
            assert tuple(flax[path].shape) == shape
        save_file(flax, out / "model.safetensors")

    return convert


def ours(source: Path, out: Path) -> Callable[[], object]:
    """What `weight-bridge convert` does."""
    from weight_bridge._cli import main

    structure = str(source.parent / "structure.json")
    return lambda: _succeed(main(["convert", str(source), str(out / "model.safetensors"), "--target", structure]))


def verification(source: Path, out: Path) -> Callable[[], object]:
    """What `weight-bridge verify` does, of what `ours` wrote."""
    from weight_bridge._cli import main

    return lambda: _succeed(main(["verify", str(source), str(out), "--target", str(source.parent / "structure.json")]))


def _succeed(code: int) -> None:
    if code:
        raise SystemExit(code)


CONTENDERS = {"load + save": load_and_save, "naive": naive, "weight_bridge": ours, "  its verification": verification}


def run_contender(name: str, source: Path, out: Path) -> None:
    """Runs one contender in this process and prints what it took."""
    work = CONTENDERS[name](source, out)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    before, start = time.process_time(), time.perf_counter()
    work()
    _to_disk(out)
    took = time.perf_counter() - start, time.process_time() - before
    print(json.dumps([*took, _peak()]))


def _peak() -> int:
    """The largest resident size of this process; `ru_maxrss` would start from its parent's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def measure(name: str, source: Path, out: Path) -> Usage:
    """Runs one contender in a process of its own."""
    if name == "cp":
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(["cp", "-r", source, out], check=True)
        _to_disk(out)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Usage(time.perf_counter() - start, processor, float("nan"))
    command = [sys.executable, "-m", "benchmarks.convert", "--contender", name, str(source), str(out)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"})
    return Usage(*json.loads(done.stdout.splitlines()[-1]))


def _to_disk(folder: Path, *, forget: bool = False) -> None:
    """Brings a folder's files to the disk, and out of the system's cache if that is wanted."""
    for path in folder.rglob("*.safetensors"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        if forget:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def compare(folder: Path, size: float, dtype: str, repeats: int, *, warm: bool) -> dict[str, Usage]:
    """Medians of all contenders, taken in turn so that a busy minute does not fall on one of them."""
    source, out = build(folder, size, dtype), folder / "out"
    taken: dict[str, list[Usage]] = {name: [] for name in ("cp", *CONTENDERS)}
    for _ in range(repeats):
        for name, usages in taken.items():
            if not name.startswith(" "):
                shutil.rmtree(out, ignore_errors=True)
            _to_disk(folder, forget=not warm)
            usages.append(measure(name, source, out))
    return {name: Usage(*map(statistics.median, zip(*usages, strict=True))) for name, usages in taken.items()}


def shown(found: dict[str, Usage], *, largest: float, total: float) -> Table:
    """The outcome as a table."""
    title = f"{total / 1e9:.2f} GB, the largest tensor {largest / 1e9:.2f} GB"
    table = Table("contender", "wall s", "× cp", "CPU s", "peak MB", "peak − 2 × largest, MB", title=title)
    for name, usage in found.items():
        memory = ("", "") if name == "cp" else (usage.memory / 1e6, (usage.memory - 2 * largest) / 1e6)
        ratio = usage.wall / found["cp"].wall
        table.add_row(name, f"{usage.wall:.2f}", f"{ratio:.2f}", f"{usage.processor:.2f}", *map(_whole, memory))
    return table


def _whole(number: float | str) -> str:
    return number if isinstance(number, str) else f"{number:.0f}"


def main(
    size: Annotated[float, typer.Option(help="gigabytes")] = 4.2,
    dtype: Annotated[str, typer.Option(help="bfloat16 or float32")] = "bfloat16",
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    folder: Annotated[Path | None, typer.Option(help="where to work; the system's temporary folder")] = None,
    warm: Annotated[bool, typer.Option("--warm", help="leave the checkpoint in the system's cache")] = False,
) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        free = shutil.disk_usage(work).free
        if free < 2.5e9 * size:
            raise typer.BadParameter(f"needs {2.5 * size:.1f} GB of disk, {work} has {free / 1e9:.1f}")
        specs = shapes(size * 1e9, WIDTHS[dtype])
        bytes_of = [WIDTHS[dtype] * _product(shape) for shape in specs.values()]
        found = compare(Path(work), size * 1e9, dtype, repeats, warm=warm)
    Console(width=120).print(shown(found, largest=max(bytes_of), total=sum(bytes_of)))
    naive_over_ours = found["naive"].wall / found["weight_bridge"].wall
    print(f"naive / weight_bridge: {naive_over_ours:.1f}; medians of {repeats}, {'warm' if warm else 'cold'}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        run_contender(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        typer.run(main)
