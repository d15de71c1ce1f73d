"""Permutations and reshapes: the order in which axes are merged, split, repeated and put side by side."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.suspect import Hypothesis, at

MOST_PIECES = 4
"""Pieces of a chunk whose orders are all tried."""


def reshaping(op: Op) -> Iterator[Hypothesis]:
    """Merging and splitting axes in another order."""
    x, y = op.args[0], op.result
    if not isinstance(y, Tensor) or x.shape == y.shape:
        return
    merged = _merged(tuple(x.shape), tuple(y.shape))
    if merged is not None and y.ndim < x.ndim:
        start, stop, place = merged
        if stop - start > 2:
            yield at(op, "flatten-nhwc-order", lambda o: _rolled(o, start, stop), "the channel is flattened last")
            yield from _orders(op, start, stop)
        two = ("head-merge-no-transpose", "merged in the other order")
        if start > 1 and stop == x.ndim and "Conv" in str(x.grad_fn):
            two = ("patches-by-column", "positions of a map column by column in place of row by row")
        yield at(op, two[0], lambda o: _swapped_merge(o, start, stop), two[1])
        del place
    split = _merged(tuple(y.shape), tuple(x.shape))
    if split is not None and y.ndim > x.ndim:
        first, last, _ = split
        if last - first == 2:
            yield at(op, "head-split-order", lambda o: _swapped_split(o, first), "split in the other order")
            detail = "groups and their members exchanged"
            yield at(op, "group-interleave", lambda o: _swapped_sizes(o, first), detail)
    if y.ndim > x.ndim:
        yield from _factor_orders(op, tuple(x.shape), tuple(y.shape))


def _factor_orders(op: Op, short: tuple[int, ...], long: tuple[int, ...]) -> Iterator[Hypothesis]:
    """Axes that are split into several, read in every other order of their factors."""
    groups = [(a, b) for a, b in _splits(short, long) if b - a > 1]
    for start, stop in groups:
        factors = long[start:stop]
        if (len(groups) == 1 and len(factors) == 2) or len(factors) > MOST_PIECES:
            continue  # one axis in two is tried above
        part = "qkv-fused-order" if sum(n > 1 for n in factors) == 3 and 3 in factors else "head-split-order"
        cause = part if len(groups) == 1 else "unfold-patch-order"
        for order in itertools.permutations(range(len(factors))):
            still = all(place == i for place, i in enumerate(order) if factors[place] == 1)
            if list(order) != sorted(order) and still:
                detail = f"split as {tuple(factors[i] for i in order)} in place of {factors}"
                yield at(op, cause, lambda o, a=start, p=order: _resplit(o, a, p), detail)


def _splits(short: tuple[int, ...], long: tuple[int, ...]) -> list[tuple[int, int]]:
    """Start and end in `long` of what every axis of `short` became; nothing where axes run together."""
    found: list[tuple[int, int]] = []
    place = 0
    for size in short:
        start, product = place, 1
        while place < len(long) and (product < size or (product == size and place == start)):
            product *= long[place]
            place += 1
        if product != size:
            return []
        found.append((start, place))
    while found and place < len(long) and long[place] == 1:  # axes to broadcast along
        place += 1
        found[-1] = (found[-1][0], place)
    return found if place == len(long) else []


def _resplit(op: Op, start: int, order: tuple[int, ...]) -> Tensor:
    """The same split with its factors in another order, and put back where they belong."""
    y = op.again()
    sizes, axes = list(y.shape), list(range(y.ndim))
    sizes[start : start + len(order)] = [y.shape[start + i] for i in order]
    axes[start : start + len(order)] = [start + order.index(i) for i in range(len(order))]
    return op.args[0].reshape(sizes).permute(axes)


MOST_ORDERS = 23
"""Other orders of flattened axes that are tried."""


def _orders(op: Op, start: int, stop: int) -> Iterator[Hypothesis]:
    """Axes that are flattened in yet another order."""
    axes = tuple(range(start, stop))
    named = (axes, (*axes[1:], axes[0])) if len(axes) > 2 else (axes,)
    others = itertools.islice((order for order in itertools.permutations(axes) if order not in named), MOST_ORDERS)
    for order in others:
        detail = f"axes {', '.join(map(str, axes))} are flattened in the order {', '.join(map(str, order))}"
        yield at(op, "flatten-order", lambda o, p=order: _flattened(o, p), detail)


def _flattened(op: Op, order: tuple[int, ...]) -> Tensor:
    """The same shape, from axes in another order."""
    x: Tensor = op.args[0]
    axes = (*range(min(order)), *order, *range(max(order) + 1, x.ndim))
    return x.permute(axes).reshape(op.again().shape)


def transposing(op: Op) -> Iterator[Hypothesis]:
    """A transposition that is left out, or done by reshaping."""
    y = op.result
    if not isinstance(y, Tensor) or y.shape.numel() <= 1:
        return
    shape = tuple(y.shape)
    yield at(op, "head-merge-no-transpose", lambda o: o.args[0].reshape(shape), "reshaped in place of transposed")
    if tuple(op.args[0].shape) == shape:
        yield at(op, "transpose-missing", lambda o: o.args[0], "not transposed")
    if y.ndim > 2:
        for a, b in itertools.combinations(range(y.ndim), 2):
            if shape[a] == shape[b]:
                yield at(
                    op, "transpose-order", lambda o, i=a, j=b: o.again().transpose(i, j), f"axes {a} and {b} exchanged"
                )


def pieces(op: Op) -> Iterator[Hypothesis]:
    """The order of the parts that an axis is cut into, and whether they are contiguous."""
    found = op.result
    if not isinstance(found, tuple | list) or not 1 < len(found) <= MOST_PIECES:
        return
    alike = len({tuple(part.shape) for part in found}) == 1
    cause = {2: "chunk-order", 3: "qkv-fused-order", 4: "gate-order"}[len(found)]
    if alike:
        for order in itertools.permutations(range(len(found))):
            if list(order) != sorted(order):
                yield at(op, cause, lambda o, p=order: _reordered(o, p), f"parts in the order {list(order)}")
        yield at(op, cause, lambda o: _interleaved(o, len(found)), "parts are interleaved")
        size = next(
            (a for a, b in zip(reversed(found[0].shape), reversed(op.args[0].shape), strict=False) if a != b), 0
        )
        for heads in (h for h in range(2, size) if size % h == 0):
            detail = f"parts side by side within each of {heads} heads"
            yield at(op, cause, lambda o, h=heads: _within_heads(o, len(found), h), detail)
        return
    for a, b in itertools.combinations(range(len(found)), 2):
        if found[a].shape == found[b].shape:
            order = tuple({a: b, b: a}.get(i, i) for i in range(len(found)))
            yield at(op, "chunk-order", lambda o, p=order: _reordered(o, p), f"parts {a + 1} and {b + 1} exchanged")


def joining(op: Op) -> Iterator[Hypothesis]:
    """The order in which arrays are put side by side."""
    tensors = op.args[0] if op.args else ()
    if isinstance(tensors, tuple | list) and 1 < len(tensors) <= MOST_PIECES:
        for order in itertools.permutations(range(len(tensors))):
            if list(order) != sorted(order):
                yield at(op, "concat-order", lambda o, p=order: _joined(o, p), f"parts in the order {list(order)}")


def repeating(op: Op) -> Iterator[Hypothesis]:
    """Copies of the whole against copies of each element."""
    x, y = op.args[0], op.result
    for axis in range(y.ndim):
        own = x.shape[axis - y.ndim] if axis - y.ndim >= -x.ndim else 1
        if own > 1 and y.shape[axis] > own and y.shape[axis] % own == 0:
            times = y.shape[axis] // own
            blocks = op.name in ("repeat", "tile")
            detail = "every element repeated" if blocks else "the whole repeated"
            yield at(op, "repeat-vs-tile", lambda o, a=axis, n=times, b=blocks: _regrouped(o, a, n, b), detail)


def shuffling(op: Op) -> Iterator[Hypothesis]:
    """The order in which a pixel shuffle packs channels and positions."""
    factor = int(op.given.get("upscale_factor", op.given.get("downscale_factor", 1)))
    up = op.name == "pixel_shuffle"

    def other(o: Op) -> Tensor:
        x = o.given["input"]
        b, c, h, w = x.shape
        if up:
            y = x.reshape(b, factor, factor, c // factor**2, h, w).permute(0, 3, 4, 1, 5, 2)
            return y.reshape(b, c // factor**2, h * factor, w * factor)
        y = x.reshape(b, c, h // factor, factor, w // factor, factor).permute(0, 3, 5, 1, 2, 4)
        return y.reshape(b, c * factor**2, h // factor, w // factor)

    def swapped(o: Op) -> Tensor:
        x = o.given["input"]
        return o.again(input=x.transpose(-1, -2)).transpose(-1, -2)

    yield at(op, "pixel-shuffle-order", other, "packed as (r, r, C) in place of (C, r, r)")
    yield at(op, "pixel-shuffle-order", swapped, "rows and columns of a block exchanged")


def patches(op: Op) -> Iterator[Hypothesis]:
    """The order of a patch's elements."""
    size = op.given.get("kernel_size")
    if size is None or op.name != "unfold" or op.args[0].ndim != 4:
        return
    kh, kw = (size, size) if isinstance(size, int) else size

    def reordered(o: Op) -> Tensor:
        y = o.again()
        b, n, length = y.shape
        return y.reshape(b, n // (kh * kw), kh * kw, length).transpose(1, 2).reshape(b, n, length)

    yield at(op, "unfold-patch-order", reordered, "patches as (kh, kw, C) in place of (C, kh, kw)")


def channel_shuffle(op: Op) -> Iterator[Hypothesis]:
    """The number of groups against their size."""

    def other(o: Op) -> Tensor:
        x, groups = o.given["input"], int(o.given["groups"])
        y = x.reshape(x.shape[0], x.shape[1] // groups, groups, *x.shape[2:])
        return y.transpose(1, 2).reshape(x.shape)

    yield at(op, "group-interleave", other, "interleaved in place of contiguous groups")
    yield at(op, "group-interleave", lambda o: o.given["input"], "not shuffled")


def reducing(op: Op) -> Iterator[Hypothesis]:
    """A reduction whose axis is lost before it is broadcast, or over another axis."""
    x, y = op.args[0], op.result
    if not isinstance(y, Tensor):
        return
    dim = op.given.get("dim")
    if op.given.get("keepdim") and isinstance(dim, int | tuple | list):
        yield at(op, "missing-keepdims", lambda o: _squeezed(o.again(), dim), "without keepdims")
    if isinstance(dim, int):
        for axis in range(x.ndim):
            if axis != dim % x.ndim:
                yield at(op, "reduction-axis", lambda o, a=axis: o.again(dim=a), f"over axis {axis}, not {dim}")
    if isinstance(dim, int | tuple | list):
        yield from _other_extent(op, x.ndim, (dim,) if isinstance(dim, int) else tuple(dim))
    if op.name == "mean" and isinstance(dim, tuple | list):
        for axis in dim:
            detail = f"summed over axis {axis}, averaged over the others"
            yield at(op, "psum-vs-pmean", lambda o, n=x.shape[axis]: o.again() * n, detail)
    if op.name in ("sum", "mean"):
        count = x.numel() / max(y.numel(), 1)
        scale = count if op.name == "mean" else 1 / count
        detail = "sum in place of mean" if op.name == "mean" else "mean in place of sum"
        cause = "reduction-sum-vs-mean" if op.given.get("keepdim") else "loss-sum-vs-mean"
        yield at(op, cause, lambda o: o.again() * scale, detail)


def _other_extent(op: Op, rank: int, dims: tuple[int, ...]) -> Iterator[Hypothesis]:
    """A reduction over more axes, or over fewer of them."""
    own = {dim % rank for dim in dims}
    some = [tuple(sorted(own - {axis})) for axis in own if len(own) > 1]
    for axes in (tuple(range(rank)), tuple(range(1, rank)), *some):
        if set(axes) != own and len(axes) > 1 and (op.given.get("keepdim") or axes in some):
            detail = f"over axes {', '.join(map(str, axes))}, not {', '.join(map(str, sorted(own)))}"
            yield at(op, "reduction-axis", lambda o, a=axes: o.again(dim=a), detail)


def _merged(long: tuple[int, ...], short: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Start and end of the axes of `long` that are one axis of `short`, and which; None for other reshapes."""
    for place in range(len(short)):
        stop = len(long) - (len(short) - place - 1)
        if long[:place] == short[:place] and long[stop:] == short[place + 1 :] and stop - place > 1:
            return place, stop, place
    return None


def _rolled(op: Op, start: int, stop: int) -> Tensor:
    x = op.args[0]
    axes = list(range(x.ndim))
    axes[start:stop] = [*axes[start + 1 : stop], axes[start]]
    return x.permute(axes).reshape(op.again().shape)


def _swapped_merge(op: Op, start: int, stop: int) -> Tensor:
    x = op.args[0]
    axes = list(range(x.ndim))
    axes[start:stop] = reversed(axes[start:stop])
    return x.permute(axes).reshape(op.again().shape)


def _swapped_split(op: Op, first: int) -> Tensor:
    y = op.again()
    shape = list(y.shape)
    shape[first], shape[first + 1] = shape[first + 1], shape[first]
    return op.args[0].reshape(shape).transpose(first, first + 1)


def _swapped_sizes(op: Op, first: int) -> Tensor:
    shape = list(op.again().shape)
    shape[first], shape[first + 1] = shape[first + 1], shape[first]
    return op.args[0].reshape(shape)


def _reordered(op: Op, order: tuple[int, ...]) -> Any:
    found = op.again()
    return type(found)(found[i] for i in order)


def _interleaved(op: Op, count: int) -> tuple[Tensor, ...]:
    found = op.again()
    x: Tensor = op.args[0]
    axis = next(i for i in range(x.ndim) if x.shape[i] != found[0].shape[i])
    moved = x.movedim(axis, -1)
    return tuple(moved[..., i::count].movedim(-1, axis) for i in range(count))


def _within_heads(op: Op, count: int, heads: int) -> tuple[Tensor, ...]:
    found = op.again()
    x: Tensor = op.args[0]
    axis = next(i for i in range(x.ndim) if x.shape[i] != found[0].shape[i])
    moved = x.movedim(axis, -1).unflatten(-1, (heads, count, -1))
    return tuple(moved[..., i, :].flatten(-2).movedim(-1, axis) for i in range(count))


def _joined(op: Op, order: tuple[int, ...]) -> Any:
    return op.function([op.args[0][i] for i in order], *op.args[1:], **op.kwargs)


def _regrouped(op: Op, axis: int, times: int, blocks: bool) -> Tensor:
    y = op.again()
    own = y.shape[axis] // times
    shape = (*y.shape[:axis], *((times, own) if blocks else (own, times)), *y.shape[axis + 1 :])
    return y.reshape(shape).transpose(axis, axis + 1).reshape(y.shape)


def _squeezed(y: Tensor, dim: Any) -> Tensor:
    return y.squeeze(dim) if isinstance(dim, int) else y.squeeze(tuple(dim))


_REDUCTIONS: tuple[str, ...] = ("mean", "sum", "amax", "amin", "logsumexp", "var", "std", "norm", "max", "min", "prod")
_BY_OP: dict[str, Callable[[Op], Iterator[Hypothesis]]] = {
    **dict.fromkeys(("flatten", "reshape", "view", "unflatten"), reshaping),
    **dict.fromkeys(("transpose", "permute", "movedim", "swapaxes", "get T", "get mT", "t"), transposing),
    **dict.fromkeys(("chunk", "split", "tensor_split", "unbind"), pieces),
    **dict.fromkeys(("cat", "concat", "stack"), joining),
    **dict.fromkeys(("repeat", "tile", "repeat_interleave"), repeating),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), shuffling),
    "unfold": patches,
    "channel_shuffle": channel_shuffle,
    **dict.fromkeys(_REDUCTIONS, reducing),
}


FAMILY = Family("layout", _BY_OP)
