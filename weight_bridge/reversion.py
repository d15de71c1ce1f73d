"""The way back: a converted state, perhaps trained since, as a torch state dict of the first names and dtypes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weight_bridge._dtypes import EXTENSIONS, numpy_dtype
from weight_bridge._errors import ConversionError, UsageError, VerificationError
from weight_bridge.casts import CastLoss, cast_loss
from weight_bridge.checkpoint import PICKLES, Checkpoint, open_path
from weight_bridge.plan import Plan
from weight_bridge.scan import nan_problems
from weight_bridge.spec import Array, Spec
from weight_bridge.verify import difference
from weight_bridge.writers.safetensors_file import SafetensorsSink
from weight_bridge.writers.staging import staged, sync_file

METADATA = {"format": "pt", "producer": "weight_bridge"}


@dataclass(frozen=True)
class Reverted:
    """What a reversion wrote.

    Args:
      out: where.
      tensors: how many.
      restored: tensors that no leaf holds, taken from the source as they are.
      absent: tensors that no leaf holds and the source has no values for.
      losses: elements that a cast back could not keep.
    """

    out: str
    tensors: int
    restored: tuple[str, ...]
    absent: tuple[str, ...]
    losses: tuple[CastLoss, ...]


def revert_state(decided: Plan, converted: Checkpoint, source: Checkpoint) -> tuple[dict[str, Array], list[CastLoss]]:
    """Returns the state dict that a converted state stands for.

    Args:
      decided: the plan from the source to the target.
      converted: the leaves by path.
      source: the checkpoint or module whose names, shapes and dtypes are wanted; it lends what no leaf holds.

    Returns:
      Name → array in the source's order and dtypes; and what casts back lost.

    Raises:
      ConversionError: leaves are missing, strange or misshapen.
    """
    planned = {path: spec for step in decided.steps for path, spec in zip(step.targets, step.target_specs, strict=True)}
    problems = [f"{path}: missing" for path in planned if path not in converted.tensors]
    problems += [f"{path}: the target has no such leaf" for path in converted.tensors if path not in planned]
    for path, spec in planned.items():
        found = converted.tensors[path].spec if path in converted.tensors else spec
        if found.shape != spec.shape:
            problems.append(f"{path}: expected shape {list(spec.shape)}, got {list(found.shape)}")
    if problems:
        raise ConversionError(f"{converted.origin} does not hold the leaves of {decided.origin[1]}", problems)
    leaves = {path: converted.tensors[path].read() for path in planned}
    values = decided.inverse(leaves)
    losses: list[CastLoss] = []
    state: dict[str, Array] = {}
    for name, tensor in source.tensors.items():
        if name in values:
            wanted = values[name].astype(numpy_dtype(tensor.spec.dtype), copy=False)
            losses += [loss] if (loss := cast_loss(name, values[name], wanted)) else []
            state[name] = wanted
        elif tensor.readable:
            state[name] = tensor.read()
    return state, losses


def revert_file(
    decided: Plan,
    converted: Checkpoint,
    source: Checkpoint,
    out: Path,
    *,
    allow_nan: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Reverted:
    """Writes the state dict that a converted state stands for, atomically, and reads it back.

    Args:
      decided: the plan from the source to the target.
      converted: the leaves by path.
      source: the checkpoint or module whose names, shapes and dtypes are wanted.
      out: a `.safetensors` file, or `.pt`, `.pth`, `.bin`.
      allow_nan: let leaves with NaN pass.
      progress: told the bytes of each tensor.

    Returns:
      What was written.

    Raises:
      ConversionError: leaves do not match, or are NaN.
      UsageError: a name that says no known format.
      WriteError: the place cannot be written.
    """
    if out.suffix not in {".safetensors", *PICKLES}:
        raise UsageError(f"{out}: expected a name that ends in .safetensors, {', '.join(PICKLES)}")
    state, losses = revert_state(decided, converted, source)
    if not allow_nan and (problems := nan_problems(state)):
        raise ConversionError(f"{converted.origin} cannot be reverted; nothing was written", problems)
    used = {name for step in decided.steps for name in step.sources}
    restored = tuple(name for name in state if name not in used and not _tied(decided, name))
    with staged(out) as stage:
        _write(stage.at, out.suffix, state, decided, progress)
        _read_back(stage.at, out.suffix, state)
        stage.commit()
    return Reverted(str(out), len(state), restored, tuple(n for n in source.tensors if n not in state), tuple(losses))


def _tied(decided: Plan, name: str) -> bool:
    return any(entry.name == name and entry.same_as for entry in decided.ignored)


def _write(at: Path, suffix: str, state: Mapping[str, Array], decided: Plan, progress: Callable[[int], None]) -> None:
    if suffix == ".safetensors":
        specs = {name: Spec(array.shape, array.dtype.name) for name, array in state.items()}
        with SafetensorsSink(at, specs, METADATA) as output:
            for name, array in state.items():
                output.put(name, array)
                progress(array.nbytes)
        return
    import torch

    groups = {name: names[0] for names in decided.ties for name in names}
    tensors: dict[str, Any] = {}
    for name, array in state.items():
        first = groups.get(name, name)
        same = first in tensors and difference(name, state[first], array) is None
        tensors[name] = tensors[first] if same else _to_torch(array)
        progress(array.nbytes)
    torch.save(tensors, at)
    sync_file(at)


def _to_torch(array: Array) -> Any:
    import torch

    name = array.dtype.name
    owned = np.array(array, order="C")
    if name in EXTENSIONS:
        return torch.from_numpy(owned.view({1: np.uint8, 2: np.int16}[owned.itemsize])).view(getattr(torch, name))
    return torch.from_numpy(owned)


def _read_back(at: Path, suffix: str, state: Mapping[str, Array]) -> None:
    again = open_path(at, suffix=suffix)
    lines = [line for name, array in state.items() if (line := difference(name, array, again.tensors[name].read()))]
    if lines:
        raise VerificationError(f"{at}: what was read back differs from what was written", lines)
