"""The way back: a converted state, perhaps trained since, as a torch state dict of the first names and dtypes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weight_bridge._dtypes import EXTENSIONS, numpy_dtype
from weight_bridge._errors import ConversionError, UsageError, VerificationError
from weight_bridge.blocks import same_bits
from weight_bridge.casts import CastLoss, cast_loss
from weight_bridge.checkpoint import PICKLES, Checkpoint, open_path
from weight_bridge.joint import Sum
from weight_bridge.plan import Plan
from weight_bridge.scan import nan_problems
from weight_bridge.spec import Array, Spec
from weight_bridge.transforms import Chain
from weight_bridge.verify import difference
from weight_bridge.writers.safetensors_file import SafetensorsSink
from weight_bridge.writers.staging import staged, sync_file

Values = Iterator[tuple[str, Array, CastLoss | None]]

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
      folded: tensors that the leaves hold combined and the source no longer tells apart, and how, one line each.
    """

    out: str
    tensors: int
    restored: tuple[str, ...]
    absent: tuple[str, ...]
    losses: tuple[CastLoss, ...]
    folded: tuple[str, ...]


def revert_file(
    decided: Plan,
    converted: Checkpoint,
    source: Checkpoint,
    out: Path,
    *,
    allow_nan: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Reverted:
    """Writes the state dict that a converted state stands for, tensor by tensor and atomically, and reads it back.

    Leaves that combine tensors, such as the sum of two biases, do not tell these apart. Where they are still what the
    source's own values combine to, those are written.

    Args:
      decided: the plan from the source to the target.
      converted: the leaves by path.
      source: the checkpoint or module whose names, shapes and dtypes are wanted.
      out: a `.safetensors` file, or `.pt`, `.pth`, `.bin`.
      allow_nan: let leaves with NaN pass.
      progress: told the bytes of each tensor, twice: written and read back.

    Returns:
      What was written.

    Raises:
      ConversionError: leaves do not match, or are NaN.
      UsageError: a name that says no known format.
      WriteError: the place cannot be written.
    """
    if out.suffix not in {".safetensors", *PICKLES}:
        raise UsageError(f"{out}: expected a name that ends in .safetensors, {', '.join(PICKLES)}")
    if problems := _outline_problems(decided, converted):
        raise ConversionError(f"{converted.origin} does not hold the leaves of {decided.origin[1]}", problems)
    specs, kept = _specs(decided, source), _kept(decided, converted, source)

    def values() -> Values:
        return _values(decided, converted, source, kept)

    with staged(out, sum(spec.nbytes for spec in specs.values())) as stage:
        if out.suffix == ".safetensors":
            losses = _write(stage.at, specs, values(), converted.origin, allow_nan=allow_nan, progress=progress)
        else:
            with staged(out.with_name(f"{out.name}.tensors")) as plain:
                whole = {name: _real(spec) for name, spec in specs.items()}
                losses = _write(plain.at, whole, values(), converted.origin, allow_nan=allow_nan, progress=progress)
                _pickle(plain.at, stage.at, decided, specs)
        _read_back(stage.at, out.suffix, values(), progress)
        stage.commit()
    used = {name for step in decided.steps for name in step.sources}
    restored = tuple(name for name in specs if name not in used and not _tied(decided, name))
    absent = tuple(name for name in source.tensors if name not in specs)
    return Reverted(str(out), len(specs), restored, absent, tuple(losses), tuple(_folded(decided, kept)))


def _outline_problems(decided: Plan, converted: Checkpoint) -> list[str]:
    """Missing, strange and misshapen leaves."""
    planned = {path: spec for step in decided.steps for path, spec in zip(step.targets, step.target_specs, strict=True)}
    problems = [f"{path}: missing" for path in planned if path not in converted.tensors]
    problems += [f"{path}: the target has no such leaf" for path in converted.tensors if path not in planned]
    for path, spec in planned.items():
        found = converted.tensors[path].spec if path in converted.tensors else spec
        if found.shape != spec.shape:
            problems.append(f"{path}: expected shape {list(spec.shape)}, got {list(found.shape)}")
    return problems


def _specs(decided: Plan, source: Checkpoint) -> dict[str, Spec]:
    """The tensors that can be written, in the source's order."""
    used = {name for step in decided.steps for name in step.sources}
    held = used | {entry.name for entry in decided.ignored if entry.same_as in used}
    return {name: tensor.spec for name, tensor in source.tensors.items() if name in held or tensor.readable}


def _kept(decided: Plan, converted: Checkpoint, source: Checkpoint) -> frozenset[tuple[str, ...]]:
    """Targets of the steps that do not tell their tensors apart, and whose leaves are still the source's own."""
    found: set[tuple[str, ...]] = set()
    for step in decided.steps:
        tensors = [source.tensors[name] for name in step.sources if name in source.tensors]
        readable = len(tensors) == len(step.sources) and all(tensor.readable for tensor in tensors)
        if step.information == "exact" or not readable:
            continue
        leaves = [converted.tensors[path].read() for path in step.targets]
        try:
            again = step.apply({tensor.name: tensor.read() for tensor in tensors})
        except ConversionError:  # the source holds what the target has no place for: it was not converted from these
            continue
        if all(same_bits(one, other) for one, other in zip(again, leaves, strict=True)):
            found.add(step.targets)
    return frozenset(found)


def _folded(decided: Plan, kept: frozenset[tuple[str, ...]]) -> Iterator[str]:
    """A line for each step whose tensors are told apart neither by the leaves nor by the source."""
    for step in decided.steps:
        if len(step.sources) > 1 and step.information != "exact" and step.targets not in kept:
            parts = step.transform.parts if isinstance(step.transform, Chain) else (step.transform,)
            summed = any(isinstance(part, Sum) for part in parts)
            what = "their sum" if summed else f"what {step.transform} makes of them"
            yield f"{', '.join(step.sources)}: only {what} is kept"


def _values(decided: Plan, converted: Checkpoint, source: Checkpoint, kept: frozenset[tuple[str, ...]]) -> Values:
    """Name, array and what casting back lost; no more than one step's arrays are there at once."""
    tied: dict[str, list[str]] = {}
    for entry in decided.ignored:
        if entry.same_as:
            tied.setdefault(entry.same_as, []).append(entry.name)
    done: set[str] = set()
    for step in decided.steps:
        if step.targets in kept:
            values = tuple(source.tensors[name].read() for name in step.sources)
        else:
            values = step.inverse(tuple(converted.tensors[path].read() for path in step.targets))
        for first, value in zip(step.sources, values, strict=True):
            for name in (first, *tied.get(first, ())):
                if name in source.tensors and name not in done:
                    wanted = value.astype(numpy_dtype(source.tensors[name].spec.dtype), copy=False)
                    yield name, wanted, cast_loss(name, value, wanted)
                    done.add(name)
    for name, tensor in source.tensors.items():
        if name not in done and tensor.readable:
            yield name, tensor.read(), None


def _tied(decided: Plan, name: str) -> bool:
    return any(entry.name == name and entry.same_as for entry in decided.ignored)


def _write(
    at: Path,
    specs: Mapping[str, Spec],
    values: Values,
    origin: str,
    *,
    allow_nan: bool,
    progress: Callable[[int], None],
) -> list[CastLoss]:
    """Writes safetensors and returns what casting back lost; NaN is refused, all of it at once."""
    problems: list[str] = []
    losses: list[CastLoss] = []
    with SafetensorsSink(at, specs, METADATA) as sink:
        for name, array, loss in values:
            problems += [] if allow_nan else nan_problems({name: array})
            losses += [loss] if loss else []
            real = specs[name].shape != array.shape
            sink.put(name, np.ascontiguousarray(array)[..., None].view(np.float64) if real else array)
            progress(array.nbytes)
        if problems:
            raise ConversionError(f"{origin} cannot be reverted; nothing was written", problems)
    return losses


def _real(spec: Spec) -> Spec:
    """How a tensor lies in a file that knows no complex numbers of this size."""
    return Spec((*spec.shape, 2), "float64") if spec.dtype == "complex128" else spec


def _pickle(plain: Path, at: Path, decided: Plan, specs: Mapping[str, Spec]) -> None:
    """Saves what a safetensors file holds as torch does, from mapped memory; tied tensors share theirs."""
    import torch

    held = open_path(plain, suffix=".safetensors").tensors
    groups = {name: tie[0] for tie in decided.ties for name in tie}
    tensors: dict[str, Any] = {}
    with warnings.catch_warnings():
        # the mapped memory is read-only, and nothing writes to it
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        for name, spec in specs.items():
            first = groups.get(name, name)
            same = first in tensors and same_bits(held[first].read(), held[name].read())
            tensors[name] = tensors[first] if same else _to_torch(_as(spec, held[name].read()))
        torch.save(tensors, at)
    sync_file(at)


def _as(spec: Spec, array: Array) -> Array:
    """The tensor that `_real` took apart."""
    return array.view(np.complex128)[..., 0] if array.shape != spec.shape else array


def _to_torch(array: Array) -> Any:
    import torch

    name = array.dtype.name
    if name in EXTENSIONS:
        return torch.from_numpy(array.view({1: np.uint8, 2: np.int16}[array.itemsize])).view(getattr(torch, name))
    return torch.from_numpy(array)


def _read_back(at: Path, suffix: str, values: Values, progress: Callable[[int], None]) -> None:
    again = open_path(at, suffix=suffix)
    lines: list[str] = []
    for name, array, _ in values:
        lines += [line] if (line := difference(name, array, again.tensors[name].read())) else []
        progress(array.nbytes)
    if lines:
        raise VerificationError(f"{at}: what was read back differs from what was written", lines)
