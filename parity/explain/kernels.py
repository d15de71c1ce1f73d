"""Kernels: transposed, flipped, with axes exchanged, their features in another order, biases lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op, Replace
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect, at, changed

MOST_GROUPS = 64
"""Ways to group the features of a linear layer that are tried."""


def linear(op: Op) -> Iterator[Hypothesis]:
    """Mistakes in the kernel of a dense layer."""
    weight = op.given["weight"]
    out, into = weight.shape
    if out == into:
        yield at(op, "linear-square-untransposed", lambda o: o.again(weight=o.given["weight"].T), "not transposed")
    else:
        detail = "reshaped in place of transposed"
        yield at(op, "linear-reshaped", lambda o: o.again(weight=_reshaped(o.given["weight"])), detail)
    yield from bias(op)
    for inner in _divisors(into):
        for shape, detail in (((inner, into // inner), "channel last"),):
            text = f"the {into} inputs are flattened as {into // inner} positions x {inner} channels, {detail}"
            yield at(op, "flatten-nhwc-order", lambda o, s=shape: o.again(weight=_columns(o.given["weight"], s)), text)
    yield from _output_orders(op, out)


def _output_orders(op: Op, out: int) -> Iterator[Hypothesis]:
    """The features of the result in another order: heads, parts of q, k and v, gates, halves."""
    for count, cause in ((3, "qkv-fused-order"), (4, "gate-order"), (2, "chunk-order")):
        if out % count == 0:
            for order in itertools.permutations(range(count)):
                if list(order) not in (sorted(order), [2, 3, 0, 1]):  # four parts in that order are two exchanged
                    detail = f"{count} parts of the result in the order {list(order)}"
                    yield at(op, cause, lambda o, p=order: _parts(o.again(), p), detail)
    for heads in _divisors(out):
        detail = f"the {out} results split as {out // heads} x {heads} in place of {heads} x {out // heads}"
        yield at(op, "head-split-order", lambda o, h=heads: _regrouped(o.again(), (h,)), detail)
    if out % 3 == 0:
        for heads in _divisors(out // 3):
            detail = f"q, k and v of each of {heads} heads side by side"
            yield at(op, "qkv-fused-order", lambda o, h=heads: _regrouped(o.again(), (3, h)), detail)
            yield at(op, "qkv-fused-order", lambda o, h=heads: _regrouped(o.again(), (h, 3)), detail)


def bias(op: Op) -> Iterator[Hypothesis]:
    """A bias that is lost or added twice."""
    if op.given.get("bias") is not None:
        yield changed(op, "bias-dropped", "bias", None, "the bias is left out")
        yield at(op, "bias-twice", lambda o: o.again(bias=2 * o.given["bias"]), "the bias is added twice")
        yield at(op, "bias-sign", lambda o: o.again(bias=-o.given["bias"]), "the bias is subtracted")


def convolution(op: Op) -> Iterator[Hypothesis]:
    """Mistakes in the kernel of a convolution."""
    weight = op.given["weight"]
    spatial = tuple(range(2, weight.ndim))
    if any(weight.shape[axis] > 1 for axis in spatial):
        transposed = op.name.startswith("conv_transpose")
        cause = "convtranspose-no-flip" if transposed else "conv-kernel-flip"
        yield at(op, cause, lambda o: o.again(weight=o.given["weight"].flip(spatial)), "the kernel is flipped")
    for a, b in itertools.combinations(spatial, 2):
        if weight.shape[a] == weight.shape[b] > 1:
            yield at(
                op, "conv-kernel-hw-swap", lambda o, i=a, j=b: _exchanged(o, i, j), f"kernel axes {a} and {b} exchanged"
            )
    if weight.shape[0] == weight.shape[1] > 1:
        yield at(op, "conv-kernel-io-swap", lambda o: _exchanged(o, 0, 1), "input and output channels exchanged")
        if op.name.startswith("conv_transpose"):
            both = "input and output channels exchanged, kernel flipped"
            yield at(op, "convtranspose-no-flip", lambda o: _exchanged(o, 0, 1, spatial), both)
    groups = int(op.given.get("groups", 1))
    if groups > 1:
        yield at(op, "group-interleave", lambda o: _interleaved(o, groups), "groups are interleaved channels")
    yield from bias(op)


def _exchanged(op: Op, a: int, b: int, flipped: tuple[int, ...] = ()) -> Tensor:
    return op.again(weight=op.given["weight"].transpose(a, b).flip(flipped))


def _reshaped(weight: Tensor) -> Tensor:
    return weight.reshape(weight.shape[1], weight.shape[0]).T


def _columns(weight: Tensor, shape: tuple[int, int]) -> Tensor:
    """Columns for inputs that lie as (positions, channels) where they should lie as (channels, positions)."""
    out, into = weight.shape
    channels, positions = shape
    order = torch.arange(into).reshape(channels, positions).T.reshape(-1)
    return weight[:, torch.argsort(order)] if out else weight


def _parts(y: Tensor, order: tuple[int, ...]) -> Tensor:
    found = y.chunk(len(order), -1)
    return torch.cat([found[i] for i in order], -1)


def _regrouped(y: Tensor, groups: tuple[int, ...]) -> Tensor:
    """Features of the last axis, split into groups and read in the opposite order."""
    parts = y.unflatten(-1, (*groups, -1))
    rank = len(groups)
    if rank == 2:
        return parts.transpose(-3, -2).flatten(-3)
    return parts.transpose(-2, -1).flatten(-2)


def _interleaved(op: Op, groups: int) -> Tensor:
    y = op.again()
    return y.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def _divisors(size: int) -> list[int]:
    return [d for d in range(2, size) if size % d == 0][:MOST_GROUPS]


def parametrised(scene: Scene) -> Iterator[Hypothesis]:
    """A stored part of a parametrised weight, taken for the weight."""
    for op in scene.suspected:
        inside = ".parametrizations." in f".{op.owner}." or op.name == "_weight_norm"
        for place, part in enumerate(op.args) if inside else ():
            if isinstance(part, Tensor) and isinstance(op.result, Tensor) and part.shape == op.result.shape:
                where = op.owner.split(".parametrizations")[0].removesuffix("parametrizations").rstrip(".")
                detail = "what is stored is taken for the weight"
                taken: dict[int, Replace] = {op.index: lambda o, p=place: o.args[p] * 1}
                yield Suspect("parametrization-source", where or scene.name, detail, taken)
                break


FAMILY = Family(
    "kernels",
    {
        "linear": linear,
        **{f"conv{kind}{n}d": convolution for kind in ("", "_transpose") for n in (1, 2, 3)},
    },
    parametrised,
)
