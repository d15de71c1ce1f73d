"""Values that random draws do not hit: exact zeros and ties, saturation, the ends of the format, NaN and infinity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from parity.formats import FORMATS, Precision, is_floating
from parity.strategies.inputs import Input

Special = Callable[[np.ndarray, Precision], np.ndarray]


def _rows(x: np.ndarray, precision: Precision) -> np.ndarray:
    """Constant along the last axis."""
    return np.broadcast_to(x[..., :1], x.shape).copy() if x.ndim else x


def _ends(first: float, last: float) -> Special:
    """The first and the last element replaced."""

    def replaced(x: np.ndarray, precision: Precision) -> np.ndarray:
        moved = x.copy()
        moved.flat[-1:], moved.flat[:1] = last, first
        return moved

    return replaced


def _scaled(power: float, of: str) -> Special:
    """Multiplied by a power of the format's largest or smallest number."""

    def scaled(x: np.ndarray, precision: Precision) -> np.ndarray:
        import ml_dtypes

        limits = ml_dtypes.finfo(FORMATS[precision])
        return x * float(getattr(limits, of)) ** power

    return scaled


SUBNORMAL = "subnormal"
HUGE = "huge"

REAL: Mapping[str, Special] = MappingProxyType(
    {
        "zeros": lambda x, precision: np.zeros_like(x),
        "ties": lambda x, precision: np.clip(np.round(x), -1, 1),
        "negative": lambda x, precision: -np.abs(x) - 0.1,
        "rows": _rows,
        "saturated": lambda x, precision: x * 1e4,
        HUGE: _scaled(0.25, "max"),
        "tiny": _scaled(0.25, "tiny"),
        SUBNORMAL: lambda x, precision: _scaled(1.0, "tiny")(x, precision) * 2.0**-8,
        "NaN": _ends(np.nan, np.nan),
        "infinity": _ends(np.inf, -np.inf),
    }
)
"""For real inputs."""

LIMITED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"positive": ("rows", "tiny"), "unit": ("zeros", "rows"), "counts": ("zeros", "rows")}
)
"""Which of `REAL` keep the other kinds of floating input what they are."""

WITHOUT_GRADIENT = frozenset({"NaN", "infinity", SUBNORMAL})
"""Where only outputs are compared: a gradient at a NaN has no right value, and XLA takes subnormals for zeros."""

LARGE = frozenset({"saturated", "huge", "NaN", "infinity"})
"""Only for inputs that are declared to take `large` values."""


def special_names(declared: tuple[Input, ...]) -> tuple[str, ...]:
    """Specials that change at least one input; all of them where nothing is declared.

    Example:
      >>> special_names((Input((3,), "unit"), Input((2,), "mask")))
      ('zeros', 'rows', 'all')
    """
    kinds = [_names(given) for given in declared] or [tuple(REAL)]
    return tuple(dict.fromkeys(name for names in kinds for name in names))


def special_values(
    name: str, inputs: tuple[np.ndarray, ...], declared: tuple[Input, ...], precision: Precision
) -> tuple[np.ndarray, ...]:
    """Inputs made special.

    Args:
      name: of `special_names`; an input that it is not for keeps its values.
      inputs: ordinary values.
      declared: what they are; without, every floating input counts as real.
      precision: of the run, for the ends of its format.

    Returns:
      Arrays of the same shapes and dtypes.
    """
    made: list[np.ndarray] = []
    for index, x in enumerate(inputs):
        given = declared[index] if index < len(declared) else None
        if given is None:
            made.append(REAL[name](x, precision) if is_floating(x) else x)
        elif name in _names(given):
            made.append(_made(name, x, given, precision))
        else:
            made.append(x)
    return tuple(made)


def _names(given: Input) -> tuple[str, ...]:
    """The specials of one input; one with draws of its own brings its own."""
    if type(given) is not Input:
        return ()
    if given.kind == "real":
        return tuple(name for name in REAL if name not in LARGE or "large" in given.profiles)
    return {"tokens": ("lowest", "highest"), "mask": ("all",)}.get(given.kind) or LIMITED[given.kind]


def _made(name: str, x: np.ndarray, given: Input, precision: Precision) -> np.ndarray:
    if given.kind == "tokens":
        return np.full_like(x, 0 if name == "lowest" else given.high - 1)
    return np.ones_like(x) if given.kind == "mask" else REAL[name](x, precision)
