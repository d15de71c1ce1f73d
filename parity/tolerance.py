"""The tolerance policy: how far apart two right implementations may be, and why.

Nothing else in the project holds a tolerance. Two gates:

*float64* — both sides run in float64; correct ports were measured at 1e-16 … 1e-14 (1.7e-13 after Adam steps), the
smallest genuine formula faults at about 7e-10, so one bound per kind of quantity sits well clear of both.

*deployed precision* — the candidate may be as far from the float64 truth as a small multiple of the reference's own
distance, plus a few roundings: `factor · reference_error + roundings · u`. Nothing depends on the operation or its
size, because the reference's own error carries that.

References:
  Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., chapter 3 (unit roundoff `u`, `gamma_n`).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from parity._errors import UsageError
from parity.formats import UNIT_ROUNDOFF, Precision

FLOAT64_BOUNDS: Mapping[str, float] = MappingProxyType(
    {
        "forward": 1e-11,
        "input_grad": 1e-11,
        "param_grad": 1e-11,
        "buffers": 1e-11,
    }
)
"""Largest relative error of a correct port with both sides in float64, by check."""

FLOAT64_DEFAULT = 1e-11

ROUNDINGS: Mapping[str, int] = MappingProxyType({"input_grad": 32, "param_grad": 32})
"""Roundings granted on top of the reference's own error; 8 where nothing is listed."""

REFERENCE_FACTOR = 8.0
"""How many times the reference's own float error a correct model may show (measured: 0.5 to 2.5)."""

DEAD_SCALE = 1e-6
"""Below this share of its siblings' scale a tensor is cancellation noise, and is judged on the siblings' scale."""

HIDDEN_FLOAT32 = 2e-6
"""A float64 error under this, with a float32 conversion found on either side, is a precision mode."""

MODULE_BOUND = 1e-12
"""Largest relative error of one right module on the reference's own float64 input (measured: up to 2e-15)."""

SAME_VALUES = 1e-9
"""Relative distance below which two float64 arrays hold the same values, for reading off how they are laid out."""

EXPLAINED = 0.9
"""Share of an error that must vanish under a suspected mistake before the mistake is called its cause."""

NOISE = 1e-14
"""Relative error in float64 that needs no module to make it: two orders of summation."""

SAME_VALUES = 1e-9
"""Relative distance below which two float64 arrays hold the same values, for reading off how they are laid out."""

EXPLAINED = 0.9
"""Share of an error that must vanish under a suspected mistake before the mistake is called its cause."""


@dataclass(frozen=True)
class Override:
    """A wider bound for one check of one pair. It shows in every report, and must still be needed.

    Attributes:
      check: the check it loosens.
      limit: the bound in its place, relative.
      reason: why the policy's bound cannot hold, in a sentence.
      expires: date after which the override is refused.
      only: restricts it to one leaf name, or None for all.
    """

    check: str
    limit: float
    reason: str
    expires: datetime.date
    only: str | None = None

    def __post_init__(self) -> None:
        if len(self.reason.split()) < 4:
            raise UsageError(f"override of {self.check!r}: the reason {self.reason!r} is not a sentence")


@dataclass(frozen=True)
class Bound:
    """The largest accepted relative error of one quantity, and where it comes from.

    Attributes:
      limit: relative to the tensor's scale.
      why: one phrase for the report.
      reference_error: the reference's own error that the limit grants a multiple of; 0 in float64.
    """

    limit: float
    why: str
    reference_error: float = 0.0


def bound(
    check: str,
    precision: Precision,
    *,
    reference_error: float = 0.0,
    overrides: tuple[Override, ...] = (),
    name: str = "",
) -> Bound:
    """The bound for one quantity.

    Args:
      check: name of the check.
      precision: what both sides computed in.
      reference_error: relative error of the reference against its own float64 run; ignored in float64.
      overrides: of the pair; the first that fits wins.
      name: leaf that is judged.

    Returns:
      The limit and its origin.

    Raises:
      UsageError: an override that fits has expired.

    Example:
      >>> bound("forward", "float64").limit
      1e-11
    """
    for override in overrides:
        if override.check == check and override.only in (None, name):
            if override.expires < datetime.datetime.now(tz=datetime.UTC).date():
                raise UsageError(
                    f"override of {check!r} expired on {override.expires}: {override.reason}; renew or remove it"
                )
            return Bound(override.limit, f"override: {override.reason}")
    if precision == "float64":
        return Bound(FLOAT64_BOUNDS.get(check, FLOAT64_DEFAULT), "float64 on both sides")
    roundings = ROUNDINGS.get(check, 8)
    limit = REFERENCE_FACTOR * reference_error + roundings * UNIT_ROUNDOFF[precision]
    return Bound(limit, f"{REFERENCE_FACTOR:g} x the reference's own error + {roundings} roundings", reference_error)
