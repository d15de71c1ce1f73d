"""Bilinear maps: torch stores (out, left, right); no JAX library has one, a user's own may put the outputs last."""

from __future__ import annotations

from weight_bridge.conventions.family import AS_IT_IS, Layout, LayoutFamily
from weight_bridge.transforms import IDENTITY, Permute
from weight_bridge.units import Unit


def layouts(unit: Unit, role: str) -> tuple[Layout, ...]:
    """Returns how a unit may store a role; the shape has to tell where a user's own module has its outputs."""
    if role != "weight" or unit.side == "source":
        return (AS_IT_IS,)
    return (Layout(IDENTITY, "(out, left, right)"), Layout(Permute((1, 2, 0)), "(left, right, out)"))


BILINEAR = LayoutFamily("bilinear map", frozenset({"torch.Bilinear"}), layouts)
