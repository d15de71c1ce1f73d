"""How conversions go wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from flax import nnx

from models.catalogue.conversion.pair import STORED
from models.catalogue.embeddings.pair import LANGUAGE
from parity.faults import adding, around, at, deriving, family, reading
from weight_bridge import Mapping, Rule

if TYPE_CHECKING:
    from jax import Array

    from parity import Pair


def _exchanged(original: Any, x: Array) -> Array:
    norm = original.__self__
    scale, bias = norm.scale.get_value(), norm.bias.get_value()
    norm.scale.set_value(bias)
    norm.bias.set_value(scale)
    try:
        return original(x)
    finally:
        norm.scale.set_value(scale)
        norm.bias.set_value(bias)


def _originals_exchanged(original: Any) -> Array:
    """The direction taken for the weight itself."""
    return original.__self__.direction[...]


def _prefixed(pair: Pair) -> Pair:
    """A mapping for names that a wrapper has put in front."""
    rules = tuple(Rule(tuple(f"module.{n}" for n in r.source), r.target, r.transform) for r in pair.mapping.rules)
    return replace(pair, mapping=Mapping(rules=rules))


def _nothing(module: Any) -> Any:
    return lambda: None


FAULTS = family(
    "conversion",
    at(
        *(STORED, "adapted/base", "unmatched-silent", "a leaf keeps its initial value"),
        reading("bias", jnp.zeros_like),
        causes=("bias-dropped",),
    ),
    at(
        *(STORED, "directed", "ddp-prefix", "a prefix that matches nothing"),
        _nothing,
        checks=("carry",),
        claim=_prefixed,
    ),
    at(
        *(STORED, "norm", "scale-bias-or-stats-swap", "scale and bias exchanged"),
        around("__call__", _exchanged),
    ),
    at(
        *(STORED, "directed", "parametrization-source", "the direction taken for the weight"),
        around("weight", _originals_exchanged),
    ),
    at(
        *(STORED, "adapted/base", "conversion-downcast", "weights stored in half precision"),
        reading("kernel", lambda kernel: kernel.astype(jnp.float16).astype(kernel.dtype)),
    ),
    at(
        *(LANGUAGE, "", "tied-saved-twice", "two copies of tied weights"),
        adding(copy=lambda module: nnx.Param(jnp.zeros(module.tokens.embedding.shape))),
        checks=("carry",),
    ),
    at(
        *(STORED, "adapted", "lora-hidden", "alpha over rank is left out"),
        deriving(scale=lambda adapted: 1.0),
        causes=("constant-differs",),
    ),
    at(
        *(STORED, "", "buffer-dtype-changed", "a buffer stored as integers"),
        reading("offset", lambda offset: offset.astype(jnp.int32)),
    ),
)
