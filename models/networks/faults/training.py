"""Mistakes that show in training: dropout, first weights, optimizers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from models.catalogue.randomness.faults import same_key, unscaled
from models.networks.faults import pairs
from models.networks.faults.placing import put
from models.networks.jax import get_optimizer
from parity.faults import Edit, around, family, setting
from parity.faults.edits import Undo
from parity.faults.generic import GENERIC

if TYPE_CHECKING:
    from jax import Array

    import parity

_ANY = {fault.id.removeprefix("any-"): fault for fault in GENERIC}
_FIRST, _LAST = "dense/0/dropout", "dense/1/dropout"


def _one_stream(dense: Any) -> Undo:
    """The last layer starts with the first one's key."""
    first, last = (layer.dropout.rngs.key for layer in dense)
    before = last.get_value()
    last.set_value(first.get_value())
    return lambda: last.set_value(before)


def _fresh(leaf: str, draw: Any) -> Edit:
    """Other first weights: `draw(key, value)`."""

    def edit(module: Any) -> Undo:
        variable = getattr(module, leaf)
        before = variable.get_value()
        variable.set_value(draw(jax.random.key(1), before))
        return lambda: variable.set_value(before)

    return edit


def _lecun(key: Array, kernel: Array) -> Array:
    return jax.random.normal(key, kernel.shape, kernel.dtype) / len(kernel) ** 0.5


def _other_fan(key: Array, kernel: Array) -> Array:
    """The fan of the outputs in place of the inputs."""
    bound = kernel.shape[1] ** -0.5
    return jax.random.uniform(key, kernel.shape, kernel.dtype, -bound, bound)


def _as_it_is(model: Any) -> Undo:
    """The model is right: its optimizer is not."""
    return lambda: None


def _trained(name: str, **settings: Any) -> Any:
    """Claims torch's trajectory for another optimizer in JAX."""

    def claim(pair: parity.Pair) -> parity.Pair:
        (own,) = pair.optimizers
        other = replace(own, candidate=lambda rate: get_optimizer(name, learning_rate=rate, **settings))
        return replace(pair, optimizers=(other,))

    return claim


FAULTS = family(
    "networks: training",
    put(
        *(pairs.DROPPED, _FIRST, "dropout-keep-vs-drop", "the rate read as the probability to keep"),
        _ANY["dropout-keep-vs-drop"].edit,
    ),
    put(*(pairs.DROPPED, _FIRST, "dropout-no-rescale", "what is kept is not scaled up"), around("__call__", unscaled)),
    put(
        *(pairs.DROPPED, _FIRST, "dropout-key-frozen", "a key that is a constant: the same mask at each step"),
        around("__call__", same_key),
        checks=("randomness", "forward"),
    ),
    put(
        *(pairs.DROPPED, "dense", "dropout-key-reuse", "one key for both layers"),
        _one_stream,
        checks=("randomness", "forward"),
    ),
    put(
        *(pairs.DROPPED, _LAST, "dropout-missing", "none behind the last layer"),
        around("__call__", lambda original, x: x),
    ),
    put(
        *(pairs.DROPPED_IMAGE, "dropout", "dropout-spatial", "whole channels are dropped in place of single values"),
        setting(broadcast_dims=(2, 3)),
    ),
    put(
        *(pairs.FRESH, "dense/0/linear", "init-linear", "Flax's first weights"),
        _fresh("kernel", _lecun),
        checks=("initial",),
    ),
    put(
        *(pairs.FRESH, "dense/0/linear", "init-fan-axis", "the fan of the outputs in place of the inputs"),
        _fresh("kernel", _other_fan),
        checks=("initial",),
    ),
    put(
        *(pairs.FRESH, "dense/0/linear", "init-bias", "a bias that starts at zero"),
        _fresh("bias", lambda key, bias: 0 * bias),
        checks=("initial",),
        causes=("init-linear",),
    ),
    put(
        *(pairs.FRESH, "dense/0/activation/activation", "init-special-skipped", "Flax's first slope, 0.01"),
        _fresh("weight", lambda key, slope: jnp.full_like(slope, 0.01)),
        checks=("initial",),
    ),
    put(
        *(pairs.TRAINED["AdamW"], "", "adamw-default-decay", "Optax's default decay, 1e-4"),
        _as_it_is,
        checks=("trajectory",),
        claim=_trained("AdamW"),
    ),
    put(
        *(pairs.TRAINED["RMSprop"], "", "rmsprop-decay-default", "Optax's default, 0.9"),
        _as_it_is,
        checks=("trajectory",),
        causes=("rmsprop-eps-inside-sqrt",),
        claim=_trained("RMSprop"),
    ),
    put(
        *(pairs.TRAINED["Adagrad"], "", "adagrad-initial-accumulator", "Optax's default, sums that start at 0.1"),
        _as_it_is,
        checks=("trajectory",),
        causes=("adagrad-eps",),
        claim=_trained("Adagrad"),
    ),
    put(
        *(pairs.TRAINED["NAdam"], "", "nadam-momentum-schedule", "a constant momentum"),
        _as_it_is,
        checks=("trajectory",),
        claim=_trained("NAdam"),
    ),
    put(
        *(pairs.TRAINED["SGD"], "", "nesterov-dropped", "the flag is lost"),
        _as_it_is,
        checks=("trajectory",),
        claim=_trained("SGD", momentum=0.9),
    ),
)
