"""Attention: scale, mask, order of heads and of queries, keys and values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.noise import masked
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, at, dialled

ORDERS: tuple[tuple[int, int, int], ...] = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
"""Orders of query, key and value other than the right one."""

FINITE = (-1e4, -1e9, -1e30)
"""Numbers that stand for minus infinity."""


@dataclass(frozen=True)
class Twist:
    """What attention does otherwise; the defaults are right.

    Attributes:
      scale: factor on the logits in place of one over the root of the head's size; None keeps that.
      causal: diagonal of the causal mask; None keeps the one that was asked for.
      inverted: the mask's polarity.
      unmasked: no mask at all.
      blocked: what is added to a blocked logit.
      filled: it is put in the logit's place instead.
      heads: how the features split into heads: `(h, d)`, or `(d, h)` for the other order.
      merged: how heads are put together again, in the same terms, or `raw` without a transposition.
      order: of queries, keys and values in the packed kernel.
      axis: of the softmax.
      shared: axes, counted from the end, along which all share one mask of dropout: heads are -3, examples -4.
    """

    scale: float | None = None
    causal: int | None = None
    inverted: bool = False
    unmasked: bool = False
    blocked: float = -math.inf
    filled: bool = False
    heads: str = "hd"
    merged: str = "hd"
    order: tuple[int, int, int] = (0, 1, 2)
    axis: int = -1
    shared: tuple[int, ...] = ()


TWISTS: Mapping[str, tuple[str, Twist]] = {
    "bool masks with the other polarity": ("attn-mask-polarity", Twist(inverted=True)),
    "no mask": ("attn-mask-missing", Twist(unmasked=True)),
    "causal with diagonal -1": ("causal-off-by-one", Twist(causal=-1)),
    "causal with diagonal +1": ("causal-off-by-one", Twist(causal=1)),
    "causal": ("causal-added", Twist(causal=0)),
    "softmax over the queries": ("softmax-axis", Twist(axis=-2)),
    "features split as (d, h)": ("head-split-order", Twist(heads="dh")),
    "heads merged as (d, h)": ("head-split-order", Twist(merged="dh")),
    "features split and merged as (d, h)": ("head-split-order", Twist(heads="dh", merged="dh")),
    "heads merged without a transposition": ("head-merge-no-transpose", Twist(merged="raw")),
    "no scale": ("attn-scale-dim", Twist(scale=1.0)),
    "one mask of dropout for all heads": ("attn-dropout-broadcast", Twist(shared=(-3,))),
    "one mask of dropout for all examples and heads": ("attn-dropout-broadcast", Twist(shared=(-3, -4))),
    "one mask of dropout for all examples": ("attn-dropout-broadcast", Twist(shared=(-4,))),
    **{f"{v:g} added to blocked logits": ("attn-finite-mask-value", Twist(blocked=v)) for v in FINITE},
    **{f"blocked logits are {v:g}": ("attn-finite-mask-value", Twist(blocked=v, filled=True)) for v in FINITE},
}


def packed(op: Op) -> Iterator[Hypothesis]:
    """Mistakes of `multi_head_attention_forward`."""
    heads, width = int(op.given["num_heads"]), int(op.given["embed_dim_to_check"])
    yield from _twisted(op, _multi_head, width // heads, width)
    for order in ORDERS:
        detail = f"parts of the packed kernel in the order {list(order)}"
        yield at(op, "qkv-fused-order", lambda o, p=order: _multi_head(o, Twist(order=p)), detail)
    if op.given.get("in_proj_weight") is not None:
        for shape in ((3, heads), (heads, 3)):
            detail = f"rows of the packed kernel in the order {shape[::-1]} in place of {shape}"
            yield at(op, "qkv-fused-order", lambda o, s=shape: _repacked(o, s), detail)
    for other in (h for h in range(1, width + 1) if width % h == 0 and h != heads):
        yield at(op, "head-count", lambda o, h=other: _multi_head(o, Twist(), h), f"{other} heads in place of {heads}")
    if op.given.get("in_proj_bias") is not None:
        yield at(op, "bias-dropped", lambda o: o.again(in_proj_bias=None), "no bias on queries, keys and values")
        yield at(op, "bias-dropped", lambda o: o.again(out_proj_bias=None), "no bias on the result")


def _repacked(op: Op, shape: tuple[int, int]) -> Any:
    """The packed rows regrouped: parts within heads in place of heads within parts, or the other way round."""
    packed = {name: op.given.get(name) for name in ("in_proj_weight", "in_proj_bias")}
    regrouped = {
        n: v.unflatten(0, (*shape, -1)).transpose(0, 1).flatten(0, 2) for n, v in packed.items() if v is not None
    }
    return op.again(**regrouped)


def product(op: Op) -> Iterator[Hypothesis]:
    """Mistakes of `scaled_dot_product_attention`."""
    query = op.given["query"]
    head = query.shape[-1]
    yield from _twisted(op, _product, head, head * (query.shape[-3] if query.ndim > 3 else 1))
    own = float(op.given.get("scale") or head**-0.5)
    guesses = (1.0, 1 / head, (head * query.shape[-3]) ** -0.5 if query.ndim > 3 else 1.0)
    yield dialled(op, "attn-scale-dim", "scale", own, guesses, lambda o, s: o.again(scale=s))
    for a, b in (("query", "key"), ("key", "value"), ("query", "value")):
        yield at(
            op,
            "qkv-fused-order",
            lambda o, i=a, j=b: o.again(**{i: o.given[j], j: o.given[i]}),
            f"{a} and {b} exchanged",
        )


def _twisted(op: Op, compute: Any, head: int, width: int) -> Iterator[Hypothesis]:
    """One twist at a time."""
    for detail, (cause, twist) in TWISTS.items():
        yield at(op, cause, lambda o, t=twist: compute(o, t), detail)
    detail = f"scale 1/sqrt({width}) in place of 1/sqrt({head})"
    yield at(op, "attn-scale-dim", lambda o: compute(o, Twist(scale=width**-0.5)), detail)
    yield at(op, "attn-scale-dim", lambda o: compute(o, Twist(scale=1 / head)), f"scale 1/{head}: applied twice")


def _product(op: Op, twist: Twist) -> Tensor:
    given = op.given
    mask, query, key = given.get("attn_mask"), given["query"], given["key"]
    bias = _bias(mask, twist, keeps=True, dtype=query.dtype)
    causal = given.get("is_causal", False)
    scale = given.get("scale")
    twist = replace(twist, scale=scale if twist.scale is None else twist.scale)
    if causal and twist.causal is None and not twist.unmasked:
        twist = replace(twist, causal=0)
    return _core(query, key, given["value"], bias, twist, float(given.get("dropout_p") or 0.0))


def _core(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, twist: Twist, rate: float) -> Tensor:
    """Attention of (…, T, D) arrays, whose weights are dropped at a rate."""
    logits = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if twist.scale is None else twist.scale)
    if bias is not None:
        logits = torch.where(bias == twist.blocked, bias, logits) if twist.filled else logits + bias
    if twist.causal is not None:
        keep = torch.ones(logits.shape[-2:], dtype=torch.bool).tril(twist.causal)
        logits = logits.masked_fill(~keep, twist.blocked)
    weights = torch.softmax(logits, twist.axis)
    if rate:
        shape = tuple(1 if i - weights.ndim in twist.shared else n for i, n in enumerate(weights.shape))
        weights = masked(weights, tuple(weights.shape), shape, 1 - rate)
    return weights @ v


def _bias(mask: Tensor | None, twist: Twist, *, keeps: bool, dtype: torch.dtype) -> Tensor | None:
    """What a mask adds to the logits; `keeps` says what True means."""
    if mask is None or twist.unmasked:
        return None
    if mask.dtype != torch.bool:
        unbounded = torch.isinf(mask) & (mask < 0)
        if twist.inverted:
            return torch.zeros_like(mask).masked_fill(~unbounded, twist.blocked)
        if twist.causal is not None:
            return None
        return mask.masked_fill(unbounded, twist.blocked)
    if twist.causal is not None:
        return None
    keep = mask if keeps != twist.inverted else ~mask
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~keep, twist.blocked)


def _multi_head(op: Op, twist: Twist, heads: int | None = None) -> tuple[Tensor, Tensor | None]:
    """`multi_head_attention_forward` written out: sequences first, as torch hands them over."""
    g = op.given
    heads = int(g["num_heads"]) if heads is None else heads
    single = g["query"].ndim == 2
    query, key, value = (g[n].unsqueeze(1) if single else g[n] for n in ("query", "key", "value"))
    q, k, v = (_split(part, heads, twist.heads) for part in _projected(g, (query, key, value), twist.order))
    bias = _bias(g.get("attn_mask"), twist, keeps=False, dtype=q.dtype)
    if bias is not None and bias.ndim == 3:
        bias = bias.reshape(query.shape[1], heads, *bias.shape[1:])
    padded = _bias(g.get("key_padding_mask"), replace(twist, causal=None), keeps=False, dtype=q.dtype)
    if padded is not None:
        bias = padded[:, None, None, :] + (0 if bias is None else bias)
    rate = float(g.get("dropout_p") or 0.0) if g.get("training", True) else 0.0
    mixed = _core(q, k, v, bias, twist, rate)  # (B, H, T, D)
    merged = {
        "hd": lambda: mixed.permute(2, 0, 1, 3).flatten(2),
        "dh": lambda: mixed.permute(2, 0, 3, 1).flatten(2),
        "raw": lambda: mixed.reshape(query.shape[1], query.shape[0], -1).transpose(0, 1),
    }[twist.merged]()
    result = F.linear(merged, g["out_proj_weight"], g["out_proj_bias"])
    weights = op.again()[1]
    return (result.squeeze(1) if single else result), weights


def _projected(g: Mapping[str, Any], given: tuple[Tensor, ...], order: tuple[int, int, int]) -> list[Tensor]:
    """Queries, keys and values, (T, B, E) each."""
    if g.get("use_separate_proj_weight"):
        kernels = [g[f"{name}_proj_weight"] for name in "qkv"]
    else:
        kernels = list(g["in_proj_weight"].chunk(3))
    biases = list(g["in_proj_bias"].chunk(3)) if g.get("in_proj_bias") is not None else [None] * 3
    return [F.linear(given[i], kernels[order[i]], biases[order[i]]) for i in range(3)]


def _split(x: Tensor, heads: int, order: str) -> Tensor:
    """(T, B, E) → (B, H, T, D)."""
    if order == "hd":
        return x.unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)
    return x.unflatten(-1, (-1, heads)).permute(1, 3, 0, 2)


PRODUCTS = ("matmul", "bmm", "einsum", "baddbmm")


def logits(scene: Scene) -> Iterator[Hypothesis]:
    """The scale of a softmax written out by hand; that of attention weighs something afterwards."""
    guesses = (0.5, 2.0, *(n**0.5 for n in (2, 3, 4, 5, 7, 8)), *(n**-0.5 for n in (2, 3, 4, 5, 7, 8)))
    for place, op in enumerate(scene.suspected):
        if op.name == "softmax":
            weighing = any(later.name in PRODUCTS for later in scene.suspected[place + 1 :])
            cause = "attn-scale-dim" if weighing else "softmax-temperature"
            yield dialled(op, cause, "factor on the logits", 1.0, guesses, _scaled)


def _scaled(op: Op, factor: float) -> Any:
    return op.function(op.args[0] * factor, *op.args[1:], **op.kwargs)


def by_scene(scene: Scene) -> Iterator[Hypothesis]:
    """What concerns several calls together."""
    yield from masks(scene)
    yield from logits(scene)


def masks(scene: Scene) -> Iterator[Hypothesis]:
    """Masks written out by hand; before a softmax they are those of attention."""
    attention = any(op.name == "softmax" for op in scene.ops)
    for op in scene.suspected:
        if op.name == "masked_fill":
            cause = "attn-mask-polarity" if attention else "where-branches-swapped"
            yield at(op, cause, lambda o: o.again(mask=~o.given["mask"]), "the mask is inverted")
            missing = "attn-mask-missing" if attention else "mask-ignored"
            yield at(op, missing, lambda o: o.given["input"], "nothing is masked")
            low = op.given.get("value")
            if isinstance(low, int | float) and low < -1e3:
                for value in (*FINITE, -math.inf):
                    yield at(
                        op, "attn-finite-mask-value", lambda o, v=value: o.again(value=v), f"filled with {value:g}"
                    )
        elif op.name == "where" and len(op.args) == 3:
            exchange = lambda o: o.again(input=o.given["other"], other=o.given["input"])  # noqa: E731  # one expression
            yield at(op, "where-branches-swapped", exchange, "branches exchanged")


def triangles(op: Op) -> Iterator[Hypothesis]:
    """Causal masks written out by hand."""
    diagonal = int(op.given.get("diagonal", 0))
    for other in (diagonal - 1, diagonal + 1):
        detail = f"diagonal {other} in place of {diagonal}"
        yield at(op, "causal-off-by-one", lambda o, d=other: o.again(diagonal=d), detail)
    name = {"tril": "triu", "triu": "tril"}[op.name]
    yield at(op, "attn-mask-polarity", lambda o: getattr(torch, name)(o.args[0]), f"{name} in its place")


FAMILY = Family(
    "attention",
    {
        "multi_head_attention_forward": packed,
        "scaled_dot_product_attention": product,
        **dict.fromkeys(("tril", "triu"), triangles),
    },
    by_scene,
)
