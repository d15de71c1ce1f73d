"""Floating formats by the name of a run's precision."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import ml_dtypes
import numpy as np

from parity._errors import UsageError

Precision = Literal["float64", "float32", "bfloat16", "float16"]

FORMATS: Mapping[str, Any] = MappingProxyType(
    {"float64": np.float64, "float32": np.float32, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
)

UNIT_ROUNDOFF: Mapping[str, float] = MappingProxyType(
    {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
)
"""Half the spacing of the format at one."""


def require_known(precision: str) -> None:
    """Refuses what is no precision of a run.

    Raises:
      UsageError: there is no such format.
    """
    if precision not in FORMATS:
        raise UsageError(f"precision {precision!r}: expected one of {', '.join(FORMATS)}")


def is_floating(array: np.ndarray) -> bool:
    """Whether an array holds real floating numbers, the small machine-learning formats included."""
    return array.dtype.kind == "f" or array.dtype == ml_dtypes.bfloat16


def rounded(array: np.ndarray, precision: Precision) -> np.ndarray:
    """A floating array reduced to the digits of `precision`, held in float64; others as they are.

    Example:
      >>> float(rounded(np.array(0.1), "bfloat16"))
      0.10009765625
    """
    if array.dtype == np.float64 and precision == "float64":
        return array
    with np.errstate(over="ignore"):  # what is too large for the format is infinite in it
        return array.astype(FORMATS[precision]).astype(np.float64) if is_floating(array) else array
