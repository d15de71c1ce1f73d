"""The spine: open both sides, plan, transform, assemble."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weight_bridge import mapping as written
from weight_bridge import tree
from weight_bridge._errors import ConversionError, UsageError
from weight_bridge.blocks import same_bits
from weight_bridge.checkpoint import Checkpoint, describe, open_checkpoint
from weight_bridge.identity import identity_plan, is_converted
from weight_bridge.infer import Flatten
from weight_bridge.leaves import PlannedLeaves
from weight_bridge.mapping import Mapping
from weight_bridge.placing import PlacedLeaves
from weight_bridge.plan import Plan
from weight_bridge.planner import Allowance, make_plan
from weight_bridge.results import results
from weight_bridge.scan import nan_problems
from weight_bridge.source import source_layers
from weight_bridge.spec import Array

WrittenMapping = Mapping | str | Path | None


def inspect(checkpoint: Any, *, key: str | None = None) -> list[dict[str, Any]]:
    """Returns what a checkpoint holds; headers only are read.

    Args:
      checkpoint: a path, a state dict or a torch module; see `plan`.
      key: dotted place of the state dict inside a trainer's checkpoint.

    Returns:
      One record per tensor: name, shape, dtype, bytes, and the first name whose storage it shares (or None).

    Example:
      >>> import numpy as np
      >>> inspect({"a.weight": np.zeros((3, 5), np.float32)})[0]["bytes"]
      60
    """
    return describe(open_checkpoint(checkpoint, key=key))


def plan(
    checkpoint: Any,
    target: Any,
    *,
    mapping: WrittenMapping = None,
    source: Any = None,
    key: str | None = None,
    drop: Sequence[str] = (),
    allow_missing: Sequence[str] = (),
    strict: bool = False,
    dtype: str | None = None,
    flatten: Flatten = "declared",
) -> Plan:
    """Decides how a checkpoint fills a target; no tensor is read.

    Args:
      checkpoint: a path (`.safetensors`, its index, a folder, `.pt`/`.pth`/`.bin`), a state dict of torch tensors or
        numpy arrays, or a torch module. What was converted before (safetensors, `.msgpack`, an Orbax folder) fills
        each leaf from its own path.
      target: an NNX or Equinox module, `(linen module, inputs)`, `(Haiku transformed, inputs)`, a pytree of shapes, a
        callable or `"package.module:callable"` that returns one of these, or the path of a `structure.json`.
      mapping: rules, or the path of a TOML file, for what inference cannot know.
      source: a torch module, or a callable or `"package.module:callable"` that returns one; its layer types are
        evidence.
      key: dotted place of the state dict inside a trainer's checkpoint.
      drop: patterns of tensors that may stay unused.
      allow_missing: patterns of leaves that may stay unfilled.
      strict: refuse what is only assumed.
      dtype: cast floating leaves; None keeps the checkpoint's dtypes.
      flatten: `"declared"` refuses a linear layer that may follow flattened channels which the target has last, unless
        the mapping pairs it; `"as torch"` takes it as it stands, for callers that compare numbers afterwards.

    Returns:
      The plan, immutable and printable.

    Raises:
      PlanError: anything ambiguous, unmatched or impossible; every problem is listed.
      CheckpointError, TargetError, MappingError, UsageError: one of the arguments cannot be used.

    Example:
      >>> import numpy as np
      >>> found = plan({"a.weight": np.zeros((5, 3))}, {"a": {"kernel": np.zeros((3, 5))}})
      >>> print(found.steps[0].transform, found.steps[0].verdict)
      permute(1, 0) assumed
    """
    opened, described = open_checkpoint(checkpoint, key=key), tree.open_target(target)
    rules, allowance = written.load(mapping), Allowance(drop, allow_missing, strict, dtype, flatten)
    if rules == Mapping() and is_converted(opened, described):
        return identity_plan(opened, described, allowance)
    return make_plan(opened, described, rules, {**opened.layers, **source_layers(source)}, allowance)


def convert(
    checkpoint: Any,
    target: Any,
    *,
    mapping: WrittenMapping = None,
    source: Any = None,
    allow_nan: bool = False,
    sharding: Any = None,
    **options: Any,
) -> Any:
    """Fills a target from a checkpoint.

    Args:
      checkpoint: see `plan`.
      target: see `plan`.
      mapping: see `plan`.
      source: see `plan`.
      allow_nan: let tensors with NaN pass.
      sharding: where leaves go: a `jax.sharding.Sharding` for all, or `{pattern: Sharding}`, of which the first whose
        pattern matches a path counts. Each process then reads only the parts that its own devices hold.
      **options: `key`, `drop`, `allow_missing`, `strict`, `dtype`, `flatten` of `plan`.

    Returns:
      What the framework takes: nested variables for linen, an `nnx.State` for NNX, the module for Equinox, nested
      dicts for a `structure.json`.

    Raises:
      ConversionError: a weight is NaN, or tensors that must be equal differ.
      PlanError: as `plan`.

    Example:
      >>> import numpy as np
      >>> convert({"a.weight": np.ones((5, 3))}, {"a": {"kernel": np.zeros((3, 5))}})["a"]["kernel"].shape
      (3, 5)
    """
    opened, described = open_checkpoint(checkpoint, key=options.pop("key", None)), tree.open_target(target)
    decided = plan(opened, described, mapping=mapping, source=source, **options)
    if sharding is None:
        return described.assemble(Leaves(decided, opened, allow_nan=allow_nan))
    if problems := unequal_problems(decided, opened):
        raise ConversionError(f"{opened.origin} cannot be converted", problems)
    leaves = PlacedLeaves(decided, opened, sharding, allow_nan=allow_nan)
    assembled = described.assemble(leaves)
    leaves.check()
    return assembled


def load(model: Any, checkpoint: Any, **options: Any) -> Any:
    """Fills a live or abstract NNX module in place, or returns a filled copy of an Equinox module.

    Args:
      model: the module.
      checkpoint: see `plan`.
      **options: those of `convert`, `sharding` among them.

    Returns:
      The module, filled.

    Raises:
      UsageError: a model of another library.
      ConversionError: a leaf would keep a shape in place of an array.
      PlanError: as `plan`.
    """
    if tree.library(model) not in {"tree_nnx", "tree_equinox"}:
        raise UsageError(
            f"load fills NNX and Equinox modules, got {type(model).__name__}; convert returns variables for others"
        )
    return tree.filled(model, convert(checkpoint, model, **options))


class Leaves(PlannedLeaves):
    """A plan's leaves by path, each computed when it is asked for and kept by nobody.

    Args:
      decided: the plan.
      checkpoint: the tensors it was made for.
      allow_nan: let tensors with NaN pass.

    Raises:
      ConversionError: NaN, or tensors that must be equal and differ; all are listed.
    """

    def __init__(self, decided: Plan, checkpoint: Checkpoint, *, allow_nan: bool = False) -> None:
        super().__init__(decided, checkpoint)
        self._ready: dict[str, Array] = {}
        problems = unequal_problems(decided, checkpoint)
        for step in () if allow_nan else decided.steps:
            problems += nan_problems({name: checkpoint.tensors[name].read() for name in step.sources})
        if problems:
            raise ConversionError(f"{checkpoint.origin} cannot be converted", problems)

    def __getitem__(self, path: str) -> Array:
        if path not in self._ready:
            step = self._steps[path]
            arrays = {name: self._checkpoint.tensors[name].read() for name in step.sources}
            self._ready |= {result.path: result.whole() for result in results(step, arrays)}
        return self._ready.pop(path)


def unequal_problems(decided: Plan, checkpoint: Checkpoint) -> list[str]:
    """Returns one line per tensor that a shared leaf takes together with another, and that differs from it."""
    return [
        f"{entry.name} and {entry.same_as} differ, but the target shares one leaf between them"
        for entry in decided.ignored
        if entry.must_equal and entry.same_as and not identical(checkpoint, entry.name, entry.same_as)
    ]


def identical(checkpoint: Checkpoint, one: str, other: str) -> bool:
    """Returns whether two tensors are equal bit for bit."""
    return same_bits(checkpoint.tensors[one].read(), checkpoint.tensors[other].read())
