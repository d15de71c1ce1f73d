"""Leaves placed on the devices of a mesh: each process reads what its own devices hold, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weight_bridge._errors import ConversionError, UsageError
from weight_bridge.blocks import Region
from weight_bridge.checkpoint import Checkpoint
from weight_bridge.leaves import PlannedLeaves
from weight_bridge.mapping import pattern_matches
from weight_bridge.plan import Plan
from weight_bridge.regions import Part, Stored, traced
from weight_bridge.scan import nan_problems
from weight_bridge.spec import Array

Shardings = Any  # a jax.sharding.Sharding, or patterns of paths to such


class PlacedLeaves(PlannedLeaves):
    """A plan's leaves by path as arrays on their devices, each made when it is asked for.

    Args:
      decided: the plan.
      checkpoint: the tensors it was made for.
      sharding: one for all leaves, or pattern of paths → sharding, of which the first that matches counts.
      allow_nan: let tensors with NaN pass.

    Raises:
      UsageError: a leaf that no pattern matches; all are listed.
    """

    def __init__(self, decided: Plan, checkpoint: Checkpoint, sharding: Shardings, *, allow_nan: bool = False) -> None:
        super().__init__(decided, checkpoint)
        self._allow_nan = allow_nan
        self._parts: dict[str, Part] = {}
        self._shardings = {path: _sharding(path, sharding) for path in self._steps}
        if left := [path for path, found in self._shardings.items() if found is None]:
            raise UsageError("sharding: no pattern matches these leaves; {'**': …} takes the rest", left)
        self.problems: dict[str, None] = {}

    def __getitem__(self, path: str) -> Any:
        from weight_bridge.tree_jax import placed_array

        if path not in self._parts:
            step = self._steps[path]
            sources = [
                Stored(spec, self._checkpoint.tensors[name].read)
                for name, spec in zip(step.sources, step.source_specs, strict=True)
            ]
            self._parts |= dict(zip(step.targets, traced(step.transform, sources), strict=True))
        part = self._parts.pop(path)
        return placed_array(part.spec, self._shardings[path], lambda region: self._read(path, part, region))

    def check(self) -> None:
        """Raises what was found wrong with the numbers that this process has read."""
        if self.problems:
            raise ConversionError(f"{self._checkpoint.origin} cannot be loaded", self.problems)

    def _read(self, path: str, part: Part, region: Region) -> Array:
        found = part.at(region)
        if not self._allow_nan:
            self.problems |= dict.fromkeys(nan_problems({path: found}))
        return found


def _sharding(path: str, sharding: Shardings) -> Any:
    if not isinstance(sharding, Mapping):
        return sharding
    return next((found for pattern, found in sharding.items() if pattern_matches(str(pattern), path)), None)
