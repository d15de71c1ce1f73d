"""Activations with parameters: torch keeps PReLU's slopes as a vector, Flax one slope as a number."""

from __future__ import annotations

from weight_bridge._errors import Misfit
from weight_bridge.conventions.family import LayoutFamily
from weight_bridge.conventions.normalization import layouts
from weight_bridge.units import Unit


def _one_for_one(source: Unit, target: Unit) -> None:
    """One slope cannot stand for several."""
    ours, theirs = source.main, target.main
    if ours.spec.size > theirs.spec.size == 1:
        raise Misfit(f"{theirs.key}: {target.layer or 'the target'} has one slope, {ours.key} has {ours.spec.size}")


SLOPE = LayoutFamily(
    "parametric rectifier",
    frozenset({"torch.PReLU", "nnx.PReLU", "linen.PReLU", "equinox.PReLU"}),
    layouts,
    _one_for_one,
)
