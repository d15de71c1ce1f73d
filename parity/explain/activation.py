"""Activations: other variants, parameters that are lost, axes, gradients at kinks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from parity.backends.torch_rewrite import Op
from parity.explain.family import Family
from parity.explain.suspect import Hypothesis, at, changed, dialled

SHAPES: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "identity": lambda x: x,
        "relu": torch.relu,
        "gelu": F.gelu,
        "gelu(tanh)": lambda x: F.gelu(x, approximate="tanh"),
        "quick gelu": lambda x: x * torch.sigmoid(1.702 * x),
        "silu": F.silu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "softplus": F.softplus,
        "elu": F.elu,
        "selu": F.selu,
        "celu": F.celu,
        "leaky relu": lambda x: F.leaky_relu(x, 0.01),
        "relu6": F.relu6,
        "mish": F.mish,
        "hardswish": F.hardswish,
        "hardsigmoid": F.hardsigmoid,
        "0.2 x + 0.5": lambda x: torch.clamp(0.2 * x + 0.5, 0, 1),
        "hard tanh": F.hardtanh,
        "softsign": F.softsign,
        "squared relu": lambda x: torch.relu(x) ** 2,
        "log sigmoid": F.logsigmoid,
        "exp": torch.exp,
    }
)
"""Activations that are taken for one another."""

ALIKE = {"silu": "silu", "log_sigmoid": "log sigmoid", "hardtanh": "relu6", "leaky_relu": "leaky relu"}


def activation(op: Op) -> Iterator[Hypothesis]:
    """Another activation in the place of one."""
    own = ALIKE.get(op.name, op.name)
    for name, function in SHAPES.items():
        if name == own or {own, name} == {"gelu", "gelu(tanh)"}:
            continue
        cause = swap(own, name)
        yield at(op, cause, lambda o, f=function: f(o.args[0]), f"{name} in place of {op.name}")


def swap(own: str, other: str) -> str:
    """The row of the catalogue for one activation in the place of another."""
    if {own, other} == {"gelu", "quick gelu"}:
        return "quickgelu-swap"
    if {own, other} == {"gelu", "gelu(tanh)"}:
        return "gelu-tanh-default"
    if own == "hardsigmoid" and other == "0.2 x + 0.5":
        return "hardsigmoid-keras"
    if other == "identity":
        return "activation-missing"
    return "activation-limit-missing" if own in ("relu6", "hardtanh") and other == "relu" else "activation-swapped"


def gelu(op: Op) -> Iterator[Hypothesis]:
    """The tanh form in place of the exact one, or the other way round."""
    other = "none" if op.given.get("approximate", "none") == "tanh" else "tanh"
    yield changed(op, "gelu-tanh-default", "approximate", other)
    yield from activation(op)


def with_slope(name: str, cause: str, guesses: tuple[float, ...]) -> Callable[[Op], Iterator[Hypothesis]]:
    """An activation with one number."""

    def suspects(op: Op) -> Iterator[Hypothesis]:
        default = {"negative_slope": 0.01}.get(name, 1.0)
        value = float(op.given.get(name, default))
        yield dialled(op, cause, name, value, guesses, lambda o, v: o.again(**{name: v}))
        yield from activation(op)

    return suspects


def softplus(op: Op) -> Iterator[Hypothesis]:
    """Beta and threshold of softplus, which is linear where beta x exceeds the threshold."""
    beta, limit = float(op.given.get("beta", 1)), float(op.given.get("threshold", 20))
    if beta != 1:
        yield at(op, "softplus-beta-dropped", lambda o: o.again(beta=1.0), "beta is ignored")
        plain = "beta and the threshold are ignored"
        yield at(op, "softplus-beta-dropped", lambda o: F.softplus(o.given["input"]), plain)
        detail = "the threshold is one of x, not of beta x"
        yield at(op, "softplus-threshold", lambda o: o.again(threshold=limit * beta), detail)
    yield dialled(op, "softplus-beta-dropped", "beta", beta, (1.0, 2.0, 0.5), lambda o, b: o.again(beta=b))
    yield at(op, "softplus-threshold", lambda o: o.again(threshold=1e9), "no linear part above the threshold")
    for value in (20.0, 1.0, 2.0, 5.0, 10.0, 30.0, 50.0):
        if value != limit:
            yield changed(op, "softplus-threshold", "threshold", value)
    yield from activation(op)


def prelu(op: Op) -> Iterator[Hypothesis]:
    """Where the slopes of a PReLU lie."""
    for axis in range(op.given["input"].ndim):
        if axis != 1:
            yield at(op, "prelu-channel-axis", lambda o, a=axis: _prelu(o, a), f"slopes along axis {axis}")
            cut = f"slopes along axis {axis}, as far as they go"
            yield at(op, "prelu-channel-axis", lambda o, a=axis: _prelu(o, a, cut=True), cut)
    yield at(op, "prelu-slope-dropped", lambda o: F.leaky_relu(o.given["input"], 0.25), "the slope is 0.25")
    yield at(op, "prelu-slope-dropped", lambda o: F.leaky_relu(o.given["input"], 0.01), "the slope is 0.01")
    yield at(op, "prelu-channel-axis", lambda o: _shared(o), "the first slope for all channels")


def _prelu(op: Op, axis: int, *, cut: bool = False) -> Tensor:
    x, weight = op.given["input"], op.given["weight"]
    weight = weight[: x.shape[axis]] if cut else weight
    shape = [1] * x.ndim
    shape[axis] = -1
    return torch.where(x > 0, x, weight.reshape(shape) * x)


def _shared(op: Op) -> Tensor:
    x, weight = op.given["input"], op.given["weight"]
    return torch.where(x > 0, x, weight.reshape(-1)[0] * x)


def glu(op: Op) -> Iterator[Hypothesis]:
    """The halves of a gated linear unit."""

    def halves(o: Op) -> tuple[Tensor, Tensor]:
        first, second = o.args[0].chunk(2, o.given.get("dim", -1))
        return first, second

    def swapped(o: Op) -> Tensor:
        a, b = halves(o)
        return torch.sigmoid(a) * b

    def interleaved(o: Op) -> Tensor:
        x = o.args[0].movedim(o.given.get("dim", -1), -1)
        return (x[..., ::2] * torch.sigmoid(x[..., 1::2])).movedim(-1, o.given.get("dim", -1))

    yield at(op, "glu-halves-swapped", swapped, "sigmoid(a) * b")
    yield at(op, "glu-halves-interleaved", interleaved, "even and odd features in place of halves")
    for axis in range(op.args[0].ndim):
        if axis != op.given.get("dim", -1) % op.args[0].ndim:
            yield changed(op, "activation-axis", "dim", axis)
    for name in ("gelu", "silu", "relu", "tanh", "identity"):
        gate = SHAPES[name]
        yield at(op, "activation-swapped", lambda o, g=gate: halves(o)[0] * g(halves(o)[1]), f"{name} as the gate")


def softmax(op: Op) -> Iterator[Hypothesis]:
    """Axis, temperature and the naive forms of softmax and log-softmax."""
    own = op.given.get("dim", -1)
    for axis in range(op.args[0].ndim):
        if own is None or axis != own % op.args[0].ndim:
            yield changed(op, "softmax-axis", "dim", axis)
    if op.name == "softmax":
        yield at(op, "softmax-unshifted", lambda o: _unshifted(o), "exp without subtracting the maximum")
        yield at(op, "softmax-unshifted", lambda o: _unshifted(o, _Quotient.apply), "its gradient overflows")
        yield at(op, "activation-missing", lambda o: o.args[0], "no softmax")
        yield at(op, "activation-swapped", lambda o: torch.sigmoid(o.args[0]), "sigmoid in place of softmax")
        yield at(op, "activation-swapped", lambda o: F.log_softmax(o.args[0], own), "log-softmax in place of softmax")
    else:
        yield at(op, "logsoftmax-naive", lambda o: torch.log(F.softmax(o.args[0], own)), "log(softmax(x))")
        flushed = lambda o: torch.log(_flushed(F.softmax(o.args[0], own)))  # noqa: E731  # one expression
        yield at(op, "logsoftmax-naive", flushed, "log(softmax(x)), with tiny numbers flushed to zero")
        yield at(op, "activation-swapped", lambda o: F.softmax(o.args[0], own), "softmax in place of log-softmax")


def _unshifted(op: Op, divide: Callable[[Tensor, Tensor], Any] = torch.div) -> Any:
    e = torch.exp(op.args[0])
    return divide(e, e.sum(op.given.get("dim", -1), keepdim=True))


class _Quotient(torch.autograd.Function):
    """x / y with JAX's derivative, which squares y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        return x / y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        return gradients[0] / y, (-gradients[0] * x * (1 / (y * y))).sum_to_size(y.shape)


def _flushed(x: Tensor) -> Tensor:
    """Subnormal numbers as zero, as XLA has them on the CPU."""
    return torch.where(x.abs() < torch.finfo(x.dtype).tiny, torch.zeros((), dtype=x.dtype), x)


def log_sigmoid(op: Op) -> Iterator[Hypothesis]:
    """The naive form of log-sigmoid."""
    yield at(op, "logsigmoid-naive", lambda o: torch.log(torch.sigmoid(o.args[0])), "log(sigmoid(x))")
    flushed = lambda o: torch.log(_flushed(torch.sigmoid(o.args[0])))  # noqa: E731  # one expression
    yield at(op, "logsigmoid-naive", flushed, "log(sigmoid(x)), with tiny numbers flushed to zero")
    yield from activation(op)


def relu(op: Op) -> Iterator[Hypothesis]:
    """Another activation, or half of the gradient at exactly zero."""
    half = torch.zeros(())
    yield at(op, "relu-subgradient", lambda o: torch.maximum(o.args[0], half.to(o.args[0].dtype)), "gradient 1/2 at 0")
    yield at(op, "relu-subgradient", lambda o: torch.clamp(o.args[0], min=0), "gradient 1 at 0")
    yield from activation(op)


def clamp(op: Op) -> Iterator[Hypothesis]:
    """A limit that is lost, or the gradient at the limits."""
    low, high = op.given.get("min"), op.given.get("max")
    yield at(op, "activation-limit-missing", lambda o: o.args[0], "no limits")
    if low is not None and high is not None:
        yield at(op, "activation-limit-missing", lambda o: torch.clamp(o.args[0], max=high), "no lower limit")
        yield at(op, "activation-limit-missing", lambda o: torch.clamp(o.args[0], min=low), "no upper limit")
    yield at(op, "relu-subgradient", lambda o: _half_clamped(o.args[0], low, high), "gradient 1/2 at the limits")
    for name, value in (("min", low), ("max", high)):
        if isinstance(value, int | float):
            guesses = (0.0, 1e-6, 1e-8, 1e-5, 1e-12, 1.0, -1.0)
            yield dialled(
                op, "limit-value", name, float(value), guesses, lambda o, v, n=name: o.again(**{n: v}), positive=False
            )


def _half_clamped(x: Tensor, low: Any, high: Any) -> Tensor:
    if low is not None:
        x = torch.maximum(x, torch.as_tensor(low, dtype=x.dtype))
    return x if high is None else torch.minimum(x, torch.as_tensor(high, dtype=x.dtype))


_PLAIN = ("silu", "tanh", "sigmoid", "selu", "hardtanh", "mish", "hardswish", "hardsigmoid", "softsign", "relu6")

FAMILY = Family(
    "activation",
    {
        "gelu": gelu,
        "relu": relu,
        **dict.fromkeys((*_PLAIN, "tanhshrink", "hardshrink", "softshrink", "threshold"), activation),
        "elu": with_slope("alpha", "elu-alpha-dropped", (1.0, 0.5, 2.0)),
        "celu": with_slope("alpha", "elu-alpha-dropped", (1.0, 0.5, 2.0)),
        "leaky_relu": with_slope("negative_slope", "leaky-slope", (0.01, 0.2, 0.1, 0.3, 0.25)),
        "softplus": softplus,
        "prelu": prelu,
        "glu": glu,
        **dict.fromkeys(("softmax", "log_softmax"), softmax),
        "log_sigmoid": log_sigmoid,
        **dict.fromkeys(("clamp", "clip"), clamp),
    },
)
