"""How ports get networks wrong: positions, flipped kernels, samples, losses."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from models.networks.pairs_distributions import DETERMINISTIC, GIVEN_NOISE, KL_DIVERGENCE
from models.networks.pairs_hyper import NCE
from models.networks.pairs_losses import CHARBONNIER, FOCAL
from parity.faults import Edit, Fault, around, at, deriving, family, reading
from parity.faults.generic import having


def _pointwise(name: str) -> Any:
    return having(lambda module: getattr(getattr(module, "function", None), "__name__", "") == name)


def _of_class(name: str) -> Any:
    return having(lambda module: type(module).__name__ == name)


def _called(change: Any) -> Edit:
    """Another call: `change(original, module, *inputs)`."""
    return deriving(call=lambda calling: partial(change, calling.call))


def _swapped(original: Any, module: Any, *inputs: Any) -> Any:
    half = len(inputs) // 2
    return original(module, *inputs[half:], *inputs[:half])


def _without_floor(original: Any, *arguments: Any) -> Any:
    stoch = original(*arguments)
    return replace(stoch, std=stoch.std - 1e-6)


FAULTS: tuple[Fault, ...] = family(
    "networks",
    Fault(
        id="network-gelu-tanh",
        title="the form of GELU with tanh",
        edit=deriving(function=lambda module: partial(module.function, approximate="tanh")),
        sites=_pointwise("gelu"),
        causes=("gelu-tanh-default",),
    ),
    Fault(
        id="network-positions-in-values",
        title="positions added to the values too",
        edit=around("__call__", lambda original, x, pos: original(x + pos, 0 * pos)),
        sites=_of_class("ViTEncoderBlock"),
    ),
    Fault(
        id="network-transposed-unflipped",
        title="a transposed convolution whose kernel is not flipped",
        edit=reading("kernel", lambda kernel: jnp.flip(kernel, tuple(range(kernel.ndim - 2)))),
        sites=having(lambda module: type(module).__name__ in ("ConvTranspose1d", "ConvTranspose2d")),
        causes=("convtranspose-no-flip",),
    ),
    at(
        *(GIVEN_NOISE, "module", "network-deviation-floor", "the floor of the deviation left out"),
        around("_normal", _without_floor),
    ),
    at(
        *(DETERMINISTIC, "module", "network-straight-through", "samples that pass no gradient"),
        around(
            "__call__", lambda original, *inputs, **options: jax.tree.map(stop_gradient, original(*inputs, **options))
        ),
        checks=("input_grad",),
    ),
    at(
        *(KL_DIVERGENCE, "", "network-divergence-order", "the divergence the other way round"),
        _called(_swapped),
        causes=("kl-argument-order",),
    ),
    at(
        *(FOCAL, "", "network-focal-mean", "a mean over positions in place of a sum"),
        _called(lambda original, module, x, target: original(module, x, target) * len(target) / target.size),
    ),
    at(
        *(CHARBONNIER, "", "network-charbonnier-gradient", "no gradient to the target"),
        _called(lambda original, module, x, target: original(module, x, stop_gradient(target))),
        checks=("input_grad",),
    ),
    at(
        *(NCE, "", "network-contrast-sides", "the second features' rows out of order"),
        _called(lambda original, module, first, second: original(module, first, second[:, ::-1])),
    ),
)
