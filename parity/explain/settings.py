"""Static reading: the numbers and flags that module objects carry, under whatever name each library gives them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from parity.explain.suspect import Setting

ALIASES: Mapping[str, tuple[str, ...]] = {
    "eps": ("epsilon", "eps"),
    "momentum": ("momentum",),
    "negative_slope": ("negative_slope", "slope", "alpha"),
    "alpha": ("alpha", "negative_slope"),
    "beta": ("beta",),
    "p": ("rate", "p", "dropout_rate", "dropout"),
    "stride": ("strides", "stride", "window_strides"),
    "padding": ("padding",),
    "dilation": ("kernel_dilation", "dilation", "rhs_dilation"),
    "groups": ("feature_group_count", "groups", "num_groups"),
    "num_groups": ("num_groups", "groups"),
    "num_heads": ("num_heads", "heads", "n_heads"),
    "approximate": ("approximate",),
    "bias": ("use_bias", "bias"),
    "weight": ("use_scale", "use_weight", "affine"),
    "count_include_pad": ("count_include_pad",),
    "ceil_mode": ("ceil_mode",),
    "training": ("use_running_average", "deterministic"),
    "reduction": ("reduction",),
}
"""The reference's word → words for the same thing in JAX libraries."""

Agreement = Literal["agrees", "silent", "contradicts"]


@dataclass(frozen=True)
class Reading:
    """One setting of one of the candidate's modules.

    Attributes:
      module: path of the module.
      name: of the attribute.
      value: simple value.
    """

    module: str
    name: str
    value: Any


def readings(modules: Iterable[tuple[str, Any]]) -> tuple[Reading, ...]:
    """Simple attributes of module objects, and of the functions that stand for modules.

    Args:
      modules: paths and objects.

    Returns:
      Every number, flag, text or tuple of these that the objects carry.
    """
    return tuple(Reading(path, name, value) for path, module in modules for name, value in _simple(module))


def agreement(setting: Setting | None, read: tuple[Reading, ...]) -> tuple[Agreement, Reading | None]:
    """Whether the candidate's own settings confirm a suspicion.

    Args:
      setting: suspected difference, or None where nothing could be read.
      read: what the candidate's modules carry.

    Returns:
      `agrees` with the confirming reading; `contradicts` where only other values are found under its name; else
      `silent`.
    """
    if setting is None:
        return "silent", None
    named = [reading for reading in read if reading.name in ALIASES.get(setting.name, (setting.name,))]
    for reading in named:
        if same(reading.value, setting.suspected):
            return "agrees", reading
    comparable = [r for r in named if isinstance(r.value, bool | int | float)]
    return ("contradicts", comparable[0]) if comparable else ("silent", None)


def same(a: Any, b: Any) -> bool:
    """Whether two settings are the same value; a number may stand for a tuple of it."""
    if isinstance(a, str) or isinstance(b, str) or a is None or b is None:
        return a == b
    try:
        left, right = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    except (TypeError, ValueError):
        return bool(a == b)
    return bool(np.allclose(left, right, rtol=1e-6, atol=0))


def _simple(module: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of simple attributes."""
    if isinstance(module, functools.partial):
        yield from ((name, value) for name, value in module.keywords.items() if _plain(value))
        return
    if dataclasses.is_dataclass(module):
        found = {field.name: getattr(module, field.name, None) for field in dataclasses.fields(module)}
    else:
        found = dict(getattr(module, "__dict__", {}))
    yield from ((name, value) for name, value in found.items() if not name.startswith("_") and _plain(value))


def _plain(value: Any) -> bool:
    """Whether a value is a setting rather than a weight or a function."""
    if isinstance(value, tuple | list):
        return all(_plain(item) for item in value)  # pyright: ignore[reportUnknownVariableType]  # of anything
    return value is None or isinstance(value, bool | int | float | str)
