"""What a family of mistakes is: where in a run of the reference each of them could have been made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from parity.backends.torch_rewrite import Op
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis

Suspects = Callable[[Op], Iterator[Hypothesis]]
"""Call of the reference → mistakes that could have been made there."""


@dataclass(frozen=True)
class Family:
    """Mistakes of one kind.

    Attributes:
      name: of the file.
      by_op: torch function → its mistakes.
      by_scene: mistakes that concern several calls together, or what the module is given.
    """

    name: str
    by_op: Mapping[str, Suspects]
    by_scene: Callable[[Scene], Iterator[Hypothesis]] | None = None

    def suspects(self, scene: Scene) -> Iterator[Hypothesis]:
        """Every mistake of this kind that a scene leaves room for."""
        for op in scene.suspected:
            yield from self.by_op.get(op.name, _none)(op)
        if self.by_scene is not None:
            yield from self.by_scene(scene)


def _none(op: Op) -> Iterator[Hypothesis]:
    del op
    return iter(())
