"""A plan's leaves by path, made when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from weight_bridge.checkpoint import Checkpoint
from weight_bridge.plan import Plan


class PlannedLeaves(Mapping[str, Any]):
    """A plan's leaves by path; to ask for one is to make it, and to ask whether it is there is not.

    Args:
      decided: the plan.
      checkpoint: the tensors it was made for.
    """

    def __init__(self, decided: Plan, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._steps = {path: step for step in decided.steps for path in step.targets}

    @abstractmethod
    def __getitem__(self, path: str) -> Any: ...

    def __contains__(self, path: object) -> bool:
        return path in self._steps

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)
