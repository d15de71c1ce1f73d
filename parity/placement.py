"""How one array inside the reference lies inside the candidate: axis order, merged axes, order of flattened features.

Nobody declares this for tensors between modules, so it is read off: from shapes where sizes are distinct, and from the
candidate's own traced values where they are not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from parity.record import Arrays
from parity.tolerance import SAME_VALUES

LARGEST_RANK = 6
"""Of arrays whose axis orders are tried."""


@dataclass(frozen=True)
class Placement:
    """Takes an array of the reference to the candidate's side, and back.

    Attributes:
      source: shape on the reference's side.
      axes: order of the reference's axes, as `numpy.transpose` takes it.
      shape: on the candidate's side.
      order: where along the last axis the candidate's features lie in the reference's; None for the same order.
      parts: the reference's shape with a merged axis taken apart, which `axes` is about; None where it is `source`.

    Example:
      >>> Placement((2, 3, 5), (0, 2, 1), (2, 5, 3)).to_candidate(np.zeros((2, 3, 5))).shape
      (2, 5, 3)
    """

    source: tuple[int, ...]
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    order: tuple[int, ...] | None = None
    parts: tuple[int, ...] | None = None

    @property
    def plain(self) -> bool:
        """Whether nothing moves."""
        return self.axes == tuple(range(len(self.axes))) and self.order is None

    def to_candidate(self, array: np.ndarray) -> np.ndarray:
        """The array as the candidate holds it."""
        placed = array.reshape(self.parts or self.source).transpose(self.axes).reshape(self.shape)
        return placed if self.order is None else placed[..., list(self.order)]

    def to_reference(self, array: np.ndarray) -> np.ndarray:
        """The array as the reference holds it."""
        if self.order is not None:
            array = array[..., np.argsort(self.order)]
        parts = self.parts or self.source
        return array.reshape([parts[axis] for axis in self.axes]).transpose(np.argsort(self.axes)).reshape(self.source)


def place(
    reference: np.ndarray, candidate: np.ndarray, *, reordered: bool = False, like: Collection[Placement] = ()
) -> Placement | None:
    """Finds how the candidate's array holds what the reference's holds.

    The axis order of what lies nearby is believed, else that which keeps everything in place, unless another fits the
    values clearly better.

    Args:
      reference: traced on the torch side.
      candidate: traced on the JAX side, right or wrong.
      reordered: a flattened axis may hold its features in another order, as after flattening NHWC in place of NCHW.
      like: how other arrays of the same call lie.

    Returns:
      The placement, or None where no order of axes gives the candidate's shape.
    """
    known = {way.axes for way in like}
    found = sorted(_orders(reference.shape, candidate.shape), key=lambda way: way.axes not in known)
    if not found:
        return None
    if len(found) > 1:
        errors = [distance(reference, way.to_reference(candidate)) for way in found]
        best = int(np.argmin(errors))
        if errors[best] < 0.5 * errors[0]:
            found = [found[best], *found]
    if reordered and distance(reference, found[0].to_reference(candidate)) > SAME_VALUES:
        return _features(reference, candidate, found[0]) or found[0]
    return found[0]


def match(
    reference: Arrays,
    candidate: Arrays,
    *,
    reordered: bool = False,
    kinds: str = "fc",
    like: Collection[Placement] = (),
) -> dict[str, tuple[str, Placement]]:
    """Pairs leaves of two calls' arguments or results.

    Args:
      reference: by leaf name.
      candidate: by leaf name.
      reordered: see `place`.
      kinds: which kinds of numbers, as `numpy.dtype.kind` has them. Flags among arguments are better left out: which
        value of a mask means what differs between libraries.
      like: see `place`.

    Returns:
      Candidate leaf → reference leaf and placement, for those that can correspond: the same name first, else the first
      of a fitting shape.
    """
    free = {name: value for name, value in reference.items() if value.dtype.kind in kinds or _extended(value)}
    pairs: dict[str, tuple[str, Placement]] = {}
    for name, value in candidate.items():
        for other in sorted(free, key=lambda n: n != name):
            alike = _sort(free[other]) == _sort(value)
            way = place(free[other], value, reordered=reordered, like=like) if alike else None
            if way is not None:
                pairs[name] = (other, way)
                del free[other]
                break
    return pairs


def _sort(array: np.ndarray) -> str:
    """Numbers with a point, whole numbers, or flags."""
    return {"b": "flag", "i": "whole", "u": "whole"}.get(array.dtype.kind, "number")


def _extended(array: np.ndarray) -> bool:
    """Whether an array is of a small floating format that numpy does not count among its own."""
    return array.dtype.kind == "V" or array.dtype.name.startswith(("bfloat", "float8"))


def to_candidate(pairs: Mapping[str, tuple[str, Placement]], arrays: Arrays) -> dict[str, np.ndarray]:
    """Arrays of the reference under the candidate's leaf names and in its layout."""
    return {name: way.to_candidate(arrays[other]) for name, (other, way) in pairs.items() if other in arrays}


def to_reference(pairs: Mapping[str, tuple[str, Placement]], arrays: Arrays) -> dict[str, np.ndarray]:
    """Arrays of the candidate under the reference's leaf names and layout; those of another shape stay as they are."""
    return {
        other: way.to_reference(arrays[name]) if arrays[name].shape == way.shape else arrays[name]
        for name, (other, way) in pairs.items()
        if name in arrays
    }


def distance(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Relative distance of two arrays of one shape; what is not finite on both sides is left out."""
    a, b = (x.astype(np.complex128 if x.dtype.kind == "c" else np.float64) for x in (reference, candidate))
    both = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(both, a, 0), np.where(both, b, 0)
    scale = float(np.linalg.norm(a)) or 1.0
    return float(np.linalg.norm(b - a)) / scale


def _orders(source: tuple[int, ...], shape: tuple[int, ...]) -> Iterator[Placement]:
    """Placements that give the shape, the likeliest first: in place, channels last, channels first, any."""
    rank = len(source)
    identity = tuple(range(rank))
    if rank == len(shape):
        likely = [identity, (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))] if rank > 2 else [identity]
        others = permutations(identity) if rank <= LARGEST_RANK else ()
        for axes in dict.fromkeys((*likely, *others)):
            if tuple(source[axis] for axis in axes) == shape:
                yield Placement(source, axes, shape)
    elif np.prod(source) == np.prod(shape):
        yield Placement(source, identity, shape)
        if rank > 2:
            yield Placement(source, (0, *range(2, rank), 1), shape)
        if source[:1] == (np.prod(shape[:2]),) and len(shape) > 2:  # steps and examples merged, steps first
            yield Placement(source, (1, 0, *range(2, rank + 1)), shape, parts=(shape[1], shape[0], *source[1:]))


def _features(reference: np.ndarray, candidate: np.ndarray, way: Placement) -> Placement | None:
    """The order of features along the last axis under which the values are the same."""
    if reference.ndim < 2 or way.shape != reference.shape:
        return None
    a = reference.reshape(-1, reference.shape[-1])
    b = candidate.reshape(-1, candidate.shape[-1])
    keys = min(len(a), 16)
    order = np.empty(a.shape[1], np.int64)
    order[np.lexsort(np.round(b[:keys], 9))] = np.lexsort(np.round(a[:keys], 9))
    found = Placement(way.source, way.axes, way.shape, tuple(int(i) for i in order))
    return found if distance(reference, found.to_reference(candidate)) <= SAME_VALUES else None
