"""What every output format offers: room for each leaf, filled piece by piece from any thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from weight_bridge._errors import WriteError
from weight_bridge.blocks import CHUNK, Region, compact, parallel, pieces
from weight_bridge.spec import Array, Spec
from weight_bridge.tree import nest


class Sink(ABC):
    """Takes leaves in pieces, in any order, and keeps none that it need not keep."""

    piece = CHUNK  # bytes of the pieces that suit the format

    @abstractmethod
    def write(self, path: str, region: Region, data: Array) -> None:
        """Stores a part of a leaf.

        Args:
          path: the leaf.
          region: one of the `pieces` of the leaf's shape of `self.piece` bytes, a slice per axis.
          data: its elements in the leaf's dtype, without gaps.
        """

    @abstractmethod
    def close(self) -> None:
        """Brings everything to the disk."""

    def put(self, path: str, array: Array) -> None:
        """Stores a whole leaf, of any layout."""
        regions = pieces(array.shape, array.itemsize, self.piece)
        parallel(lambda region: self.write(path, region, compact(array[region])), regions)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is None:  # else the stage removes what there is
            self.close()


def nested(specs: Mapping[str, Spec], file_format: str) -> dict[str, Any]:
    """Returns specs as nested dicts; leaves that stand above others are a `WriteError`, all of them listed."""
    folders = {
        "/".join(parts[:count]) for path in specs for parts in [path.split("/")] for count in range(1, len(parts))
    }
    if above := [f"{path}: other leaves lie below it" for path in specs if path in folders]:
        raise WriteError(f"{file_format} nests leaves by their paths", above)
    return nest(specs)
