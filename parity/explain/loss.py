"""Losses: reductions, factors, floors, which elements count, which argument is which."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.suspect import Hypothesis, at, changed, dialled

REDUCTIONS = ("mean", "sum", "none")


def any_loss(op: Op) -> Iterator[Hypothesis]:
    """Reductions and factors of every loss."""
    own = op.given.get("reduction", "mean")
    for other in REDUCTIONS[:2]:
        if other != own:
            yield changed(op, "loss-sum-vs-mean", "reduction", other)
    cause = "mse-half" if op.name == "mse_loss" else "loss-factor"
    yield at(op, cause, lambda o: o.again() / 2, "half of it")
    yield at(op, cause, lambda o: o.again() * 2, "twice of it")
    x = op.args[0]
    if own == "mean" and x.ndim > 1:
        rows = x.shape[0]
        yield at(op, "loss-sum-vs-mean", lambda o: o.again(reduction="sum") / rows, "summed over all but the batch")
        yield at(
            op, "loss-sum-vs-mean", lambda o: o.again(reduction="sum") / x.shape[-1], "averaged over the last axis only"
        )


def squared(op: Op) -> Iterator[Hypothesis]:
    """Mean squared error and its relatives."""
    others = {
        "mse_loss": F.mse_loss,
        "l1_loss": F.l1_loss,
        "smooth_l1_loss": F.smooth_l1_loss,
        "huber_loss": F.huber_loss,
    }
    for name, other in others.items():
        if name != op.name:
            pair = {name, op.name} == {"smooth_l1_loss", "huber_loss"}
            cause = "smoothl1-vs-huber" if pair else "loss-swapped"
            yield at(op, cause, lambda o, f=other: _like(o, f), f"{name} in place of {op.name}")
    for name in ("beta", "delta"):
        if name in op.given:
            value = float(op.given[name])
            factor = value if name == "beta" else 1 / value
            detail = f"the {'Huber' if name == 'beta' else 'smooth L1'} loss, {factor:g} x the reference"
            yield at(op, "smoothl1-vs-huber", lambda o, f=factor: o.again() * f, detail)
            yield dialled(op, "smoothl1-vs-huber", name, value, (1.0, 0.5, 2.0), lambda o, v, n=name: o.again(**{n: v}))
    if op.name == "l1_loss":
        yield at(op, "l1-at-zero", _one_at_zero, "gradient 1 at 0")
    else:
        yield at(op, "loss-root", lambda o: o.again().sqrt(), "its root")
    yield from any_loss(op)


def cross_entropy(op: Op) -> Iterator[Hypothesis]:
    """Ignored labels, class weights and smoothing."""
    target = op.given["target"]
    if not target.is_floating_point():
        if op.given.get("weight") is not None:
            yield at(op, "ce-class-weight-norm", lambda o: _divided(o, _kept(o)), "divided by the number of labels")
            yield changed(op, "ce-class-weight-norm", "weight", None, "class weights are ignored")
        classes = op.args[0].shape[1 if op.args[0].ndim > 1 else 0]
        for label in dict.fromkeys((0, classes - 1)):
            detail = f"ignored labels count as class {label}"
            yield at(op, "ce-ignore-index", lambda o, n=label: _all_labels(o, n), detail)
        yield at(op, "ce-ignore-index", lambda o: _divided(o, target.numel()), "divided by the number of all labels")
        smoothing = float(op.given.get("label_smoothing", 0.0))
        if smoothing:
            other = smoothing * classes / (classes - 1)
            detail = "smoothing spread over the other classes only"
            yield at(op, "label-smoothing-denominator", lambda o: o.again(label_smoothing=other), detail)
            guesses = (0.0, other, smoothing / 2)
            yield dialled(
                op, "label-smoothing", "label_smoothing", smoothing, guesses, lambda o, v: o.again(label_smoothing=v)
            )
    yield from any_loss(op)


def divergence(op: Op) -> Iterator[Hypothesis]:
    """Reduction and order of arguments of the Kullback-Leibler divergence."""
    own = op.given.get("reduction", "mean")
    for other in ("batchmean", "mean", "sum"):
        if other != own:
            yield changed(op, "kl-reduction", "reduction", other)
    log = bool(op.given.get("log_target", False))
    yield changed(op, "kl-log-target", "log_target", not log)
    yield at(op, "kl-argument-order", lambda o: _exchanged(o, log), "the distributions are exchanged")


def binary(op: Op) -> Iterator[Hypothesis]:
    """Weights and naive forms of the binary cross-entropy."""
    yield from any_loss(op)
    if op.given.get("pos_weight") is not None:
        yield changed(op, "bce-pos-weight", "pos_weight", None)
    if op.name.endswith("logits"):
        yield at(op, "bce-logits-naive", _naive, "log(sigmoid(x)) and log(1 - sigmoid(x))")
        swapped = F.binary_cross_entropy
        yield at(op, "bce-logits-naive", lambda o: _like(o, swapped), "probabilities in place of logits")
    else:
        yield at(op, "bce-clamp", _unclamped, "logarithms are not kept above -100")
        yield at(op, "bce-clamp", lambda o: _floored(o, 1e-7), "probabilities are kept 1e-7 from 0 and 1")
        yield at(op, "bce-clamp", lambda o: _floored(o, 1e-8), "probabilities are kept 1e-8 from 0 and 1")
        logits = F.binary_cross_entropy_with_logits
        yield at(op, "bce-logits-naive", lambda o: _like(o, logits), "logits in place of probabilities")


def gaussian(op: Op) -> Iterator[Hypothesis]:
    """Floor and constant of the Gaussian likelihood."""
    yield from any_loss(op)
    yield dialled(
        op,
        "gaussian-nll-clamp",
        "eps",
        float(op.given.get("eps", 1e-6)),
        (0.0, 1e-8, 1e-3),
        lambda o, e: o.again(eps=e),
    )
    yield at(op, "gaussian-nll-clamp", lambda o: o.again(eps=1e-300), "the variance has no floor")
    yield changed(op, "gaussian-nll-constant", "full", not op.given.get("full", False))
    yield at(
        op,
        "gaussian-nll-variance",
        lambda o: o.again(var=o.given["var"] ** 2),
        "the deviation in place of the variance",
    )


def poisson(op: Op) -> Iterator[Hypothesis]:
    """Rate and constant of the Poisson likelihood."""
    yield from any_loss(op)
    yield changed(op, "poisson-log-input", "log_input", not op.given.get("log_input", True))
    yield changed(op, "poisson-full", "full", not op.given.get("full", False))


def similarity(op: Op) -> Iterator[Hypothesis]:
    """Axis and floor of similarities and distances."""
    if op.name == "cosine_similarity":
        yield at(op, "cosine-global", _flattened, "over all axes at once")
        for axis in range(op.args[0].ndim):
            if axis != op.given.get("dim", 1) % op.args[0].ndim:
                yield changed(op, "cosine-global", "dim", axis)
        eps = float(op.given.get("eps", 1e-8))
        yield dialled(op, "l2norm-eps-form", "eps", eps, (1e-8, 1e-6, 1e-12, 0.0), lambda o, e: o.again(eps=e))
    else:
        yield at(op, "pairwise-distance-eps", lambda o: o.again(eps=0.0), "eps is not inside the difference")


def _like(op: Op, function: Any) -> Tensor:
    """Another loss of the same two arguments."""
    return function(op.given["input"], op.given["target"], reduction=op.given.get("reduction", "mean"))


def _kept(op: Op) -> float:
    return float((op.given["target"] != op.given.get("ignore_index", -100)).sum())


def _divided(op: Op, count: float) -> Tensor:
    return op.again(reduction="sum") / count


def _all_labels(op: Op, label: int) -> Tensor:
    target = op.given["target"]
    return op.again(target=torch.where(target == op.given.get("ignore_index", -100), label, target))


def _exchanged(op: Op, log: bool) -> Tensor:
    first, second = op.given["input"], op.given["target"]
    return op.again(input=second, target=first) if log else op.again(input=second.log(), target=first.exp())


def _naive(op: Op) -> Tensor:
    p, t = torch.sigmoid(op.given["input"]), op.given["target"]
    return _reduced(op, -(t * torch.log(p) + (1 - t) * torch.log(1 - p)))


def _unclamped(op: Op) -> Tensor:
    p, t = op.given["input"], op.given["target"]
    return _reduced(op, -(t * torch.log(p) + (1 - t) * torch.log1p(-p)))


def _floored(op: Op, eps: float) -> Tensor:
    return op.again(input=op.given["input"].clamp(eps, 1 - eps))


def _reduced(op: Op, values: Tensor) -> Tensor:
    return {"mean": torch.mean, "sum": torch.sum, "none": lambda v: v}[op.given.get("reduction", "mean")](values)


def _one_at_zero(op: Op) -> Tensor:
    difference = op.given["input"] - op.given["target"]
    return _reduced(op, torch.where(difference >= 0, difference, -difference))


def _flattened(op: Op) -> Tensor:
    a, b = op.args[:2]
    return F.cosine_similarity(a.flatten(), b.flatten(), 0).expand(op.again().shape)


FAMILY = Family(
    "loss",
    {
        **dict.fromkeys(("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"), squared),
        **dict.fromkeys(("cross_entropy", "nll_loss"), cross_entropy),
        "kl_div": divergence,
        **dict.fromkeys(("binary_cross_entropy", "binary_cross_entropy_with_logits"), binary),
        "gaussian_nll_loss": gaussian,
        "poisson_nll_loss": poisson,
        **dict.fromkeys(("cosine_similarity", "pairwise_distance"), similarity),
    },
)
