"""The same random numbers on both sides: the reference's draws are numbered, and the candidate's are matched to them.

Neither framework's generator is used. The k-th draw of the reference is a transform of uniform numbers that follow from
the example's seed and k alone; a draw of the candidate takes the numbers of the reference's draw that it corresponds
to. What is compared is then the use of the numbers: rate, scale, shape and place. Whether a candidate's own keys are
fresh is another matter, and read off separately (`parity.checks.randomness`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np

GRID = 2.0**24
"""Uniform numbers are odd multiples of 1 / GRID: exact in float32 too, and never 0 or 1."""

STEP = 10368890 / GRID
"""What `stretched` moves repeated numbers on by: an even multiple of 1 / GRID, near the golden section."""

OTHER = "other"
"""Kind of a draw whose numbers cannot be given: gamma, Poisson, and the like."""


@dataclass(frozen=True)
class Draw:
    """One request for random numbers.

    Attributes:
      kind: `bernoulli`, `uniform`, `normal`, `exponential`, `gumbel`, `categorical`, `integers`, `permutation`, or
        `other` for what cannot be injected.
      shape: of the uniform numbers behind it.
      chance: probability of a one, for a bernoulli draw with a single known probability.
      upper: probability of the upper end of uniform numbers that are cut in two, as by `floor(p + u)`, `u > 1 - p`
        and `u < 1 - p`.
    """

    kind: str
    shape: tuple[int, ...]
    chance: float | None = None
    upper: float | None = None

    def __str__(self) -> str:
        chance = "" if self.chance is None else f" with p = {self.chance:.6g}"
        return f"{self.kind}{chance} of shape {list(self.shape)}"


Likeness = Callable[[Draw, Draw], bool]
Sizes = Callable[[tuple[int, ...], tuple[int, ...]], bool]


@dataclass(frozen=True)
class Request:
    """A draw of the candidate, and the number of the reference's draw whose numbers it got; None for none."""

    draw: Draw
    source: int | None


def uniforms(seed: int, index: int, shape: tuple[int, ...]) -> np.ndarray:
    """The uniform numbers of the reference's draw `index` in the example of `seed`.

    Args:
      seed: of the example.
      index: number of the draw, from 0.
      shape: of the numbers.

    Returns:
      float64 array in (0, 1), every element an odd multiple of 2⁻²⁴.

    Example:
      >>> numbers = uniforms(0, 1, (2, 3))
      >>> numbers.shape, bool((numbers.astype(np.float32) == numbers).all())
      ((2, 3), True)
    """
    steps = np.random.default_rng([seed, 2, index]).integers(0, int(GRID) // 2, shape)
    return (2.0 * steps + 1.0) / GRID


def match(wanted: Draw, recorded: Sequence[Draw], used: Collection[int]) -> int | None:
    """The reference's draw that a candidate's draw corresponds to: the first unused one that is most alike.

    What is alike, and how much, says `LIKENESSES`.

    Example:
      >>> layers = [Draw("bernoulli", (2, 3), 0.9), Draw("bernoulli", (5, 2), 0.8)]
      >>> match(Draw("bernoulli", (2, 5), 0.8), layers, ()), match(Draw("normal", (7,)), layers, ())
      (1, None)
    """
    found = (_first(wanted, recorded, used, alike) for alike in LIKENESSES)
    return next((source for source in found if source is not None), None)


def assigned(requests: Sequence[Request], recorded: Sequence[Draw]) -> tuple[Request, ...]:
    """All draws of a call, each with the reference's draw that it corresponds to.

    As many as possible find one that is most alike, then as many as possible the next best, all in the order in which
    both sides draw; what is left then does so out of order. Draw by draw, a number that is thrown away, as an initial
    value is when a module is built anew at every call, could take a mask of as many elements from the draw behind it
    that is really meant.

    Args:
      requests: of the whole call, in order; their sources are not looked at.
      recorded: the reference's draws.

    Example:
      >>> asked = [Request(Draw("uniform", (6,)), 0), Request(Draw("bernoulli", (2, 3), 0.9), None)]
      >>> [request.source for request in assigned(asked, [Draw("bernoulli", (2, 3), 0.9)])]
      [None, 0]
    """
    sources = dict(_in_order([[_level(request.draw, draw) for draw in recorded] for request in requests]))
    for alike in LIKENESSES:
        for place, request in enumerate(requests):
            if place not in sources:
                source = _first(request.draw, recorded, sources.values(), alike)
                sources |= {} if source is None else {place: source}
    return tuple(Request(request.draw, sources.get(place)) for place, request in enumerate(requests))


def ended(numbers: Any, draw: Draw, wanted: Draw) -> Any:
    """Uniform numbers of a draw for a bernoulli draw, whose ones are at the lower end: mirrored where they should not.

    Args:
      numbers: array of numpy or JAX.
      draw: whose numbers they are.
      wanted: whose they become.

    Example:
      >>> ended(np.array([0.25]), Draw("uniform", (1,), upper=0.8), Draw("bernoulli", (1,), 0.8))
      array([0.75])
    """
    mirrored = draw.upper is not None and wanted.chance is not None and _same_chance(draw.upper, wanted.chance)
    return 1 - numbers if mirrored else numbers


def oriented(numbers: Any, shape: tuple[int, ...]) -> Any:
    """An array's elements in another shape of the same sizes.

    Axes are matched by size. Where several orders fit, channels are taken to move between the second and the last
    place; sizes that only multiply to the same number are a reshape; another number of elements is `stretched`.

    Args:
      numbers: array of numpy or JAX.
      shape: wanted.

    Returns:
      The array, transposed or reshaped.

    Example:
      >>> oriented(np.zeros((2, 3, 5, 5)), (2, 5, 5, 3)).shape
      (2, 5, 5, 3)
    """
    if math.prod(numbers.shape) != math.prod(shape):
        return stretched(numbers, shape)
    axes = _order(tuple(numbers.shape), shape)
    return numbers.reshape(shape) if axes is None else numbers.transpose(axes)


def stretched(numbers: Any, shape: tuple[int, ...]) -> Any:
    """The uniform numbers of one draw for a draw of another size: the first ones, or all again and again, moved on.

    Args:
      numbers: array of numpy or JAX, not empty.
      shape: wanted.

    Returns:
      An array of that shape in (0, 1), for the same numbers always the same.

    Example:
      >>> stretched(np.array([0.25, 0.5]), (1,)), bool(np.ptp(stretched(np.array([0.25]), (4,))) > 0)
      (array([0.25]), True)
    """
    flat, count = numbers.reshape(-1), math.prod(shape)
    if count <= len(flat):
        return flat[:count].reshape(shape)
    turns, places = np.divmod(np.arange(count), len(flat))
    return ((flat[places] + turns * STEP % 1.0) % 1.0).reshape(shape)


def chances_agree(one: Draw, other: Draw) -> bool:
    """Whether two draws have the same probability, as far as both are known."""
    return one.chance is None or other.chance is None or _same_chance(one.chance, other.chance)


def ambiguous(draw: Draw) -> bool:
    """Whether equal sizes leave it open how the axes of a draw correspond."""
    sizes = [size for size in draw.shape if size > 1]
    return len(set(sizes)) < len(sizes)


def _first(wanted: Draw, recorded: Sequence[Draw], used: Collection[int], alike: Likeness) -> int | None:
    """The first unused draw of the reference that is alike."""
    return next((i for i, draw in enumerate(recorded) if i not in used and alike(wanted, draw)), None)


def _level(one: Draw, other: Draw) -> int | None:
    """The first of `LIKENESSES` that two draws have; None for none."""
    return next((level for level, alike in enumerate(LIKENESSES) if alike(one, other)), None)


def _in_order(levels: Sequence[Sequence[int | None]]) -> Iterator[tuple[int, int]]:
    """Rows and columns that belong together: pairs of rising places, as many as possible of the best level first."""
    rows, columns = len(levels), len(levels[0]) if levels else 0
    counts = np.zeros((rows + 1, columns + 1, len(LIKENESSES)), int)

    def together(row: int, column: int) -> list[int]:
        level = levels[row][column]
        behind = counts[row + 1, column + 1].tolist()
        return [] if level is None else [count + (place == level) for place, count in enumerate(behind)]

    for row, column in product(reversed(range(rows)), reversed(range(columns))):
        apart = max(counts[row + 1, column].tolist(), counts[row, column + 1].tolist())
        counts[row, column] = max(apart, together(row, column))
    row = column = 0
    while row < rows and column < columns:
        best = counts[row, column].tolist()
        if best == together(row, column):
            yield row, column
            row, column = row + 1, column + 1
        elif best == counts[row, column + 1].tolist():
            column += 1
        else:
            row += 1


def _order(source: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axes of `source` that give `shape`, or None where a reshape is needed."""
    if not _same_sizes(source, shape):
        return None
    rank = len(shape)
    identity = tuple(range(rank))
    to_last, to_second = (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))
    common = (identity, to_last, to_second) if rank > 2 else (identity,)
    return next(axes for axes in (*common, *permutations(identity)) if tuple(source[a] for a in axes) == shape)


def _same_chance(one: float | None, other: float | None) -> bool:
    return one is other is None or (one is not None and other is not None and math.isclose(one, other, rel_tol=1e-6))


def _same_shape(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return one == other


def _same_sizes(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return sorted(one) == sorted(other)


def _same_but_shared(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether the sizes above one of either are among those of the other."""
    counts = [Counter(size for size in shape if size > 1) for shape in (one, other)]
    if 0 in (*one, *other):
        return False
    return counts[0] != counts[1] and (counts[0] <= counts[1] or counts[1] <= counts[0])


def _same_count(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return math.prod(one) == math.prod(other)


def _exact(sizes: Sizes) -> Likeness:
    """Draws of the same kind and chance whose shapes are alike."""

    def alike(one: Draw, other: Draw) -> bool:
        same = one.kind == other.kind != OTHER and _same_chance(one.chance, other.chance)
        return same and sizes(one.shape, other.shape)

    return alike


def _akin(sizes: Sizes) -> Likeness:
    """Draws of any kind and chance whose shapes are alike."""

    def alike(one: Draw, other: Draw) -> bool:
        kinds = {one.kind, other.kind}
        return OTHER not in kinds and kinds != {"normal", "bernoulli"} and sizes(one.shape, other.shape)

    return alike


LIKENESSES: tuple[Likeness, ...] = (
    _exact(_same_shape),
    _exact(_same_sizes),
    _exact(_same_count),
    _exact(_same_but_shared),
    _akin(_same_shape),
    _akin(_same_sizes),
    _akin(_same_count),
)
"""What makes two draws alike, best first: kind, chance and the sizes in their order; in any order; as many elements;
the sizes, but for axes that only one of them has apart, see `stretched`; then sizes alone, so that a wrong rate meets
the numbers that it got wrong, and Gumbel noise the exponential one. Normal numbers never make a mask."""
