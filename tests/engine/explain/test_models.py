"""Mistakes inside small networks: each is located at its module and named; right ports are accused of nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from torch import nn

import parity
from tests.engine.explain.mistake import normal, spread
from tests.engine.explain.small_models import (
    ConvNet,
    Encoder,
    TorchConvNet,
    TorchEncoder,
    TorchTwice,
    Twice,
)

IDS = np.array([[1, 4, 2, 10, 0], [3, 3, 7, 5, 9]])
IMAGE = normal(2, 3, 8, 11)
PAIR = (normal(2, 6), normal(2, 6, seed=1))
CHECKS = ("forward", "input_grad", "param_grad", "buffers")


@dataclass(frozen=True)
class Fault:
    """A mistake put into a right candidate.

    Attributes:
      cause: named first.
      where: module on the torch side that is located.
      candidate: builds the wrong one.
      site: module that the cause names, where that is more than the smallest pair.
      train: in training mode.
    """

    cause: str
    where: str
    candidate: Callable[[], Any]
    site: str | None = None
    train: bool = False


def edited(build: Callable[[], Any], change: Callable[[Any], None]) -> Callable[[], Any]:
    def make() -> Any:
        model = build()
        change(model)
        return model

    return make


def put(target: str, value: Any) -> Callable[[Any], None]:
    """Sets an attribute by its path."""

    def change(model: Any) -> None:
        *path, last = target.split("/")
        for part in path:
            model = model[int(part)] if part.isdigit() else getattr(model, part)
        if last.isdigit():
            model[int(last)] = value
        else:
            setattr(model, last, value)

    return change


class Stopped(nnx.Linear):
    def __call__(self, x: Any) -> Any:
        return jax.lax.stop_gradient(super().__call__(x))


class Halved(nnx.Linear):
    def __call__(self, x: Any) -> Any:
        return super().__call__(x) / 2


class Narrow(nnx.LayerNorm):
    def __call__(self, x: Any) -> Any:
        return super().__call__(x.astype(jnp.float32)).astype(x.dtype)


def rebuilt(cls: type, *args: Any, **kwargs: Any) -> Any:
    return cls(*args, **kwargs, rngs=nnx.Rngs(0))


ENCODER = tuple(
    Fault(cause, where, edited(Encoder, put(target, value)), site)
    for cause, where, target, value, site in (
        ("norm-epsilon", "blocks.1.norm2", "blocks/1/norm2/epsilon", 1e-6, None),
        ("norm-epsilon", "norm", "norm/epsilon", 1e-3, None),
        ("gelu-tanh-default", "blocks.0.mlp.1", "blocks/0/mlp/1", jax.nn.gelu, None),
        ("quickgelu-swap", "blocks.1.mlp.1", "blocks/1/mlp/1", lambda x: x * jax.nn.sigmoid(1.702 * x), None),
        ("attn-scale-dim", "blocks.1", "blocks/1/scale", 12**-0.5, None),
        ("causal-off-by-one", "blocks.0", "blocks/0/diagonal", 1, None),
        ("head-merge-no-transpose", "blocks.1", "blocks/1/heads_last", True, None),
        ("embedding-scale", "", "factor", 1.0, None),
        ("stop-gradient-extra", "blocks.0.mlp.2", "blocks/0/mlp/2", rebuilt(Stopped, 24, 12), None),
        ("constant-factor", "blocks.1.mlp.0", "blocks/1/mlp/0", rebuilt(Halved, 12, 24), None),
    )
)

CONVNET = (
    Fault("bn-eps-keras", "bn", lambda: ConvNet(epsilon=1e-3)),
    Fault("gn-eps-default", "gn", lambda: ConvNet(group_epsilon=1e-6)),
    Fault("norm-groups", "gn", lambda: ConvNet(groups=3)),
    Fault("leaky-slope", "", lambda: ConvNet(slope=0.01), "act"),
    Fault("conv-default-same", "conv2", lambda: ConvNet(padding="SAME")),
    Fault("bn-momentum-inverted", "bn", lambda: ConvNet(momentum=0.1), train=True),
    Fault("bn-momentum-default", "bn", lambda: ConvNet(momentum=0.99), train=True),
    Fault("flatten-nhwc-order", "", lambda: ConvNet(channels_last=True), "flatten"),
)

TWICE = (
    Fault("norm-epsilon", "norm", edited(Twice, put("norm/epsilon", 1e-6))),
    Fault("stop-gradient-extra", "", edited(Twice, put("stop", True)), "TorchTwice"),
    Fault("constant-factor", "", edited(Twice, put("wrong_second", True)), "TorchTwice"),
    Fault("constant-factor", "mix", edited(Twice, put("mix", rebuilt(Halved, 6, 6)))),
    Fault(
        "constant-factor",
        "first",
        edited(Twice, lambda m: (put("first", h := rebuilt(Halved, 6, 6))(m), put("second", h)(m))),
    ),
)

MODELS: tuple[
    tuple[str, Callable[[], nn.Module], Callable[[], Any], tuple[np.ndarray, ...], tuple[Fault, ...]], ...
] = (
    ("encoder", TorchEncoder, Encoder, (IDS,), ENCODER),
    ("convnet", TorchConvNet, ConvNet, (IMAGE,), CONVNET),
    ("twice", TorchTwice, Twice, PAIR, TWICE),
)

TABLE = [(reference, inputs, fault) for _, reference, _, inputs, faults in MODELS for fault in faults]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    ("reference", "candidate", "inputs"), [row[1:4] for row in MODELS], ids=[row[0] for row in MODELS]
)
def test_a_right_port_is_accused_of_nothing(
    reference: Callable[[], nn.Module], candidate: Callable[[], Any], inputs: tuple[np.ndarray, ...], train: bool
) -> None:
    report = parity.compare(
        spread(reference()), candidate(), *inputs, checks=CHECKS[:3] if train else CHECKS, train=train
    )
    assert report.ok, report
    assert report.divergence is None
    assert report.causes == ()


def test_a_hidden_float32_is_a_precision_mode_and_no_fault() -> None:
    candidate = edited(Encoder, put("blocks/1/norm1", rebuilt(Narrow, 12, epsilon=1e-5)))()
    report = parity.compare(spread(TorchEncoder()), candidate, IDS, checks=("forward",))
    assert report.ok, report
    assert [result.verdict for result in report.results] == ["precision mode"], report


@pytest.mark.parametrize(
    ("reference", "inputs", "fault"), TABLE, ids=[f"{f.cause}-{i}" for i, (_, _, f) in enumerate(TABLE)]
)
def test_a_mistake_is_located_and_named(
    reference: Callable[[], nn.Module], inputs: tuple[np.ndarray, ...], fault: Fault
) -> None:
    report = parity.compare(spread(reference()), fault.candidate(), *inputs, checks=CHECKS, train=fault.train)
    assert report.divergence is not None, report
    assert report.divergence.introduced, report
    assert report.divergence.reference == fault.where, report
    assert report.causes, report
    assert report.causes[0].id == fault.cause, report
    if fault.site is not None:
        assert report.causes[0].where == fault.site, report
