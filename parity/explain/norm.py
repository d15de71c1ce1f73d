"""Normalisation: epsilon and its place, variance, centring, axes, affine parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, at, changed, dialled

EPSILONS = (1e-5, 1e-6, 1e-3, 1e-8, 1e-12, 1e-4, 1e-7, 1.1920928955078125e-07, 0.0)
Axes = tuple[int, ...]


def normalisation(op: Op) -> Iterator[Hypothesis]:
    """Mistakes of layer, group, instance and root-mean-square norms."""
    default = torch.finfo(op.given["input"].dtype).eps
    eps = float(default if op.given.get("eps") is None else op.given["eps"])
    yield dialled(op, lambda value: _epsilon_cause(op.name, value), "eps", eps, EPSILONS, lambda o, e: o.again(eps=e))
    yield at(op, "norm-eps-outside-sqrt", lambda o: _normalised(o, outside=True), "x / (sqrt(v) + eps)")
    yield at(op, "norm-ddof", lambda o: _normalised(o, correction=1), "variance over N - 1")
    if op.name == "rms_norm":
        yield at(op, "rms-as-layernorm", lambda o: _normalised(o, centred=True), "the mean is subtracted")
    else:
        yield at(op, "layernorm-as-rms", lambda o: _normalised(o, centred=False), "the mean is not subtracted")
    if op.name == "layer_norm":
        yield at(op, "missing-keepdims", _without_keepdims, "mean and variance without keepdims")
    yield from _axes(op)
    yield from affine(op)


def _without_keepdims(op: Op) -> Tensor:
    """Statistics that broadcast along the other axis; impossible where the sizes do not fit."""
    x: Tensor = op.given["input"]
    axes = _statistics_axes(op)
    y = (x - x.mean(axes)) / (x.var(axes, correction=0) + op.given.get("eps", 1e-5)).sqrt()
    return _scaled(op, y)


def affine(op: Op) -> Iterator[Hypothesis]:
    """Mistakes in the scale and bias of any norm."""
    weight, bias = op.given.get("weight"), op.given.get("bias")
    if weight is not None:
        yield changed(op, "norm-affine-dropped", "weight", None, "the scale is left out")
        yield at(
            op, "norm-scale-offset", lambda o: o.again(weight=o.given["weight"] + 1), "1 + scale in place of scale"
        )
        yield at(
            op, "norm-scale-offset", lambda o: o.again(weight=o.given["weight"] - 1), "scale in place of 1 + scale"
        )
    if bias is not None:
        yield changed(op, "norm-affine-dropped", "bias", None, "the bias is left out")
    if weight is not None and bias is not None:
        yield at(
            op,
            "scale-bias-or-stats-swap",
            lambda o: o.again(weight=o.given["bias"], bias=o.given["weight"]),
            "scale and bias exchanged",
        )
        yield at(op, "norm-affine-order", _bias_first, "(x + bias) * scale")
        yield at(op, "norm-affine-dropped", lambda o: o.again(weight=None, bias=None), "scale and bias are left out")


def _axes(op: Op) -> Iterator[Hypothesis]:
    """Statistics over other axes."""
    shape = tuple(op.given["input"].shape)
    if op.name == "group_norm":
        groups = int(op.given["num_groups"])
        if groups == 1:
            yield at(op, "gn1-as-layernorm", lambda o: _normalised(o, axes=(1,)), "statistics over channels only")
        others = [g for g in range(1, shape[1] + 1) if shape[1] % g == 0 and g != groups]
        yield from (changed(op, "norm-groups", "num_groups", g) for g in others)
        yield at(op, "group-interleave", _interleaved_groups, "groups are interleaved channels")
    own = _statistics_axes(op)
    for axes in ((len(shape) - 1,), (1,), tuple(range(1, len(shape))), (0,)):
        if set(axes) != set(own) and op.name != "group_norm":
            collapsed = set(axes) < set(own)
            cause = "ln-normalized-shape" if collapsed else "norm-axis"
            yield at(op, cause, lambda o, a=axes: _normalised(o, axes=a), f"statistics over axes {axes}, not {own}")


def batch(op: Op) -> Iterator[Hypothesis]:
    """Mistakes of batch norm that its output shows."""
    yield dialled(
        op,
        lambda value: "bn-eps-keras" if math.isclose(value, 1e-3) else "norm-epsilon",
        "eps",
        float(op.given.get("eps", 1e-5)),
        EPSILONS,
        lambda o, e: o.again(eps=e),
    )
    if op.given.get("training"):
        yield at(
            op, "bn-train-uses-running-stats", lambda o: o.again(training=False), "running statistics in train mode"
        )
        yield at(op, "norm-ddof", lambda o: _normalised(o, correction=1), "variance over N - 1")
    else:
        yield at(op, "bn-eval-uses-batch-stats", _batch_statistics, "the batch's statistics in eval mode")
    yield at(op, "norm-eps-outside-sqrt", lambda o: _normalised(o, outside=True), "x / (sqrt(v) + eps)")
    if op.given.get("running_mean") is not None:
        yield at(
            op,
            "scale-bias-or-stats-swap",
            lambda o: o.again(running_mean=o.given["running_var"], running_var=o.given["running_mean"]),
            "mean and variance exchanged",
        )
        yield at(op, "bn-var-as-std", lambda o: o.again(running_var=o.given["running_var"] ** 2), "variance squared")
        yield at(
            op, "bn-var-as-std", lambda o: o.again(running_var=o.given["running_var"].sqrt()), "its root as variance"
        )
    yield from affine(op)


def local_response(op: Op) -> Iterator[Hypothesis]:
    """Mistakes of the local response norm."""
    size, alpha = int(op.given["size"]), float(op.given.get("alpha", 1e-4))
    yield at(op, "lrn-alpha-per-n", lambda o: o.again(alpha=alpha * size), "alpha is not divided by the window")
    for name, default in (("alpha", 1e-4), ("beta", 0.75), ("k", 1.0)):
        value = float(op.given.get(name, default))
        guesses = (default, 1.0, 2.0, 0.5)
        yield dialled(op, "lrn-parameters", name, value, guesses, lambda o, v, n=name: o.again(**{n: v}))


def unit_length(op: Op) -> Iterator[Hypothesis]:
    """Mistakes of `normalize`."""
    eps, dim, p = float(op.given.get("eps", 1e-12)), op.given.get("dim", 1), op.given.get("p", 2.0)

    def formed(form: str) -> Any:
        def compute(o: Op) -> Tensor:
            x = o.given["input"]
            square = (x.abs() ** p).sum(dim, keepdim=True)
            size = square ** (1 / p)
            forms = {"added": size + eps, "inside": (square + eps).sqrt(), "floored": square.clamp(min=eps).sqrt()}
            return x / forms[form]

        return compute

    yield at(op, "l2norm-eps-form", formed("added"), "x / (|x| + eps)")
    yield at(op, "l2norm-eps-form", formed("inside"), "x / sqrt(sum + eps)")
    yield at(op, "l2norm-eps-form", formed("floored"), "x / sqrt(max(sum, eps))")
    yield at(
        op, "l2norm-eps-form", lambda o: o.given["input"] / o.given["input"].norm(p, dim, keepdim=True), "no floor"
    )
    yield dialled(op, "l2norm-eps-form", "eps", eps, (1e-12, 1e-6, 1e-8, 1e-5), lambda o, e: o.again(eps=e))
    for other in range(op.given["input"].ndim):
        if other != dim % op.given["input"].ndim:
            yield changed(op, "norm-axis", "dim", other)
    yield changed(op, "norm-order", "p", 1.0 if p == 2 else 2.0)


def spread(op: Op) -> Iterator[Hypothesis]:
    """Variance and standard deviation: torch divides by N - 1 unless told otherwise."""
    corrected = op.kwargs.get("correction", op.kwargs.get("unbiased", True))
    other = int(not corrected)

    def recomputed(o: Op) -> Any:
        kwargs = {key: value for key, value in o.kwargs.items() if key not in ("correction", "unbiased")}
        args = tuple(a for a in o.args if not isinstance(a, bool))
        return o.function(
            *args, correction=other, **({"dim": None} if len(args) == 1 and "dim" not in kwargs else {}), **kwargs
        )

    yield at(op, "std-ddof", recomputed, f"variance over {'N - 1' if other else 'N'}")


def by_hand(scene: Scene) -> Iterator[Hypothesis]:
    """The epsilon of a root that somebody wrote out, on its other side."""
    made = {id(op.result): op for op in scene.suspected if isinstance(op.result, Tensor)}
    for op in scene.suspected:
        inner = next((made[id(arg)] for arg in op.args[:2] if id(arg) in made), None)
        names = (inner.name if inner is not None else "", op.name)
        adding = {("add", "rsqrt"): inner, ("add", "sqrt"): inner, ("sqrt", "add"): op, ("std", "add"): op}.get(names)
        eps = (
            next((value for value in adding.args[:2] if isinstance(value, float)), None) if adding is not None else None
        )
        if inner is None or eps is None:
            continue
        if adding is inner:
            yield at(op, "norm-eps-outside-sqrt", partial(_outside, eps=eps), f"{eps:g} is added outside the root")
        else:
            root = partial(_inside, root=inner.result, eps=eps)
            yield at(op, "norm-eps-inside-sqrt", root, f"{eps:g} is added inside the root")


def _inside(op: Op, *, root: Tensor, eps: float) -> Tensor:
    del op
    return (root**2 + eps).sqrt()


def _outside(op: Op, *, eps: float) -> Tensor:
    root = (op.args[0] - eps).clamp(min=0).sqrt() + eps
    return 1 / root if op.name == "rsqrt" else root


def _epsilon_cause(name: str, value: float) -> str:
    """The row of the catalogue for an epsilon of a kind of norm."""
    named = {"group_norm": "gn-eps-default", "rms_norm": "rms-eps-default"}
    return named[name] if name in named and math.isclose(value, 1e-6) else "norm-epsilon"


def _statistics_axes(op: Op) -> Axes:
    """Axes over which a norm takes its statistics."""
    rank = op.given["input"].ndim
    if op.name in ("layer_norm", "rms_norm"):
        return tuple(range(rank - len(op.given["normalized_shape"]), rank))
    if op.name == "batch_norm":
        return (0, *range(2, rank))
    return tuple(range(2, rank))


def _normalised(
    op: Op, *, axes: Axes | None = None, outside: bool = False, correction: int = 0, centred: bool | None = None
) -> Tensor:
    """A norm written out, with one thing changed."""
    x: Tensor = op.given["input"]
    eps = op.given.get("eps")
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    grouped = op.name == "group_norm" and axes is None
    y = x.reshape(x.shape[0], int(op.given["num_groups"]), -1) if grouped else x
    over = (2,) if grouped else axes or _statistics_axes(op)
    subtract = centred if centred is not None else op.name != "rms_norm"
    running = op.name == "batch_norm" and not op.given.get("training")
    if running:
        shape = (-1, *(1,) * (x.ndim - 2))
        mean, square = (op.given[name].reshape(shape) for name in ("running_mean", "running_var"))
    else:
        mean = y.mean(over, keepdim=True) if subtract else torch.zeros((), dtype=x.dtype)
        count = math.prod(y.shape[axis] for axis in over)
        square = ((y - mean) ** 2).sum(over, keepdim=True) / max(count - correction, 1)
    y = (y - mean) / (square.sqrt() + eps if outside else (square + eps).sqrt())
    return _scaled(op, y.reshape(x.shape))


def _scaled(op: Op, y: Tensor) -> Tensor:
    """Scale and bias of a norm, along its last axes or along the channels."""
    weight, bias = op.given.get("weight"), op.given.get("bias")
    shape = () if op.name in ("layer_norm", "rms_norm") else (-1, *(1,) * (y.ndim - 2))
    y = y if weight is None else y * (weight.reshape(shape) if shape else weight)
    return y if bias is None else y + (bias.reshape(shape) if shape else bias)


def _bias_first(op: Op) -> Tensor:
    plain = op.again(weight=None, bias=None)
    weight, bias = op.given["weight"], op.given["bias"]
    shape = () if op.name in ("layer_norm", "rms_norm") else (-1, *(1,) * (plain.ndim - 2))
    return (plain + (bias.reshape(shape) if shape else bias)) * (weight.reshape(shape) if shape else weight)


def _batch_statistics(op: Op) -> Any:
    return op.again(training=True, running_mean=None, running_var=None)


def _interleaved_groups(op: Op) -> Tensor:
    x: Tensor = op.given["input"]
    groups = int(op.given["num_groups"])
    order = torch.arange(x.shape[1]).reshape(-1, groups).T.reshape(-1)
    y = op.again(input=x[:, order], weight=None, bias=None)
    return _scaled(op, y[:, torch.argsort(order)])


FAMILY = Family(
    "norm",
    {
        **dict.fromkeys(("layer_norm", "rms_norm", "group_norm", "instance_norm"), normalisation),
        "batch_norm": batch,
        "local_response_norm": local_response,
        "normalize": unit_length,
        **dict.fromkeys(("var", "std", "var_mean", "std_mean"), spread),
    },
    by_hand,
)
