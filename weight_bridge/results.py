"""The leaves of one step, computed in pieces: what only moves elements is a view, and a cast waits for its piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from weight_bridge._dtypes import numpy_dtype
from weight_bridge.blocks import Region, chunks, compact, parallel, pieces, room, same_bits, same_part
from weight_bridge.casts import CastLoss, cast_loss, summed
from weight_bridge.joint import Each
from weight_bridge.plan import Step
from weight_bridge.scan import part_has_nan
from weight_bridge.spec import Array, Spec
from weight_bridge.transforms import Cast, Chain, Transform, chain
from weight_bridge.writers.base import Sink


@dataclass(frozen=True)
class Result:
    """One leaf before its cast.

    Args:
      path: the leaf.
      spec: its shape and final dtype.
      array: its elements, of any layout, in the dtype that they have so far.
      cast: to the final dtype, if that is another.
    """

    path: str
    spec: Spec
    array: Array
    cast: Cast | None

    def into(self, sink: Sink) -> tuple[list[CastLoss], bool]:
        """Writes the leaf; returns what the cast lost, and whether there is NaN in it."""

        def write(region: Region) -> tuple[CastLoss | None, bool]:
            part = self.array[(..., *region)]
            before = part if part.flags.c_contiguous else compact(part, room(part.shape, part.dtype))
            after = self._cast(before)
            sink.write(self.path, region, after)
            return cast_loss(self.path, before, after), part_has_nan(before)

        itemsize = self.spec.nbytes // max(1, self.spec.size)
        done = parallel(write, pieces(self.spec.shape, itemsize, sink.piece))
        return summed([loss for loss, _ in done], self.spec.size), any(nan for _, nan in done)

    def equals(self, there: Array) -> bool:
        """Returns whether an array holds this leaf's bits."""
        if self.cast is None:
            return same_bits(self.array, there)
        pairs = zip(chunks(self.array), chunks_alike(self.array, there), strict=True)
        return all(parallel(lambda pair: same_part(self._cast(compact(pair[0])), pair[1]), pairs))

    def whole(self) -> Array:
        """Returns the leaf in compact memory of its own."""
        out = np.empty(self.spec.shape, numpy_dtype(self.spec.dtype))
        regions = pieces(self.spec.shape, out.itemsize)
        # The ellipsis keeps the one element of an array without axes an array.
        parallel(lambda region: compact(self._cast(self.array[(..., *region)]), out[(..., *region)]), regions)
        return out

    def _cast(self, array: Array) -> Array:
        return self.cast.apply((array,))[0] if self.cast is not None else array


def chunks_alike(like: Array, array: Array) -> Iterator[Array]:
    """Cuts an array where `chunks` cuts another one of its shape."""
    return (array[region] for region in pieces(like.shape, like.itemsize))


def results(step: Step, arrays: Mapping[str, Array]) -> list[Result]:
    """Returns a step's leaves.

    Args:
      step: the step.
      arrays: its sources by name.

    Raises:
      ConversionError: values that the target has no place for.
    """
    before, cast = _without_cast(step.transform)
    found = Step(step.sources, step.targets, before, step.verdict, step.why, step.source_specs, step.target_specs)
    rows = zip(step.targets, step.target_specs, found.apply(arrays), strict=True)
    return [Result(path, spec, array, cast) for path, spec, array in rows]


def _without_cast(transform: Transform) -> tuple[Transform, Cast | None]:
    """A transform without the cast at its end, and that cast."""
    parts = transform.parts if isinstance(transform, Chain) else (transform,)
    last = parts[-1].part if isinstance(parts[-1], Each) else parts[-1]
    return (chain(*parts[:-1]), last) if isinstance(last, Cast) else (transform, None)
