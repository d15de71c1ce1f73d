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
from statistics import NormalDist
from types import MappingProxyType

from parity._errors import UsageError
from parity.formats import UNIT_ROUNDOFF, Precision

FLOAT64_BOUNDS: Mapping[str, float] = MappingProxyType(
    {
        "forward": 1e-11,
        "input_grad": 1e-11,
        "param_grad": 1e-11,
        "buffers": 1e-11,
        "second_order": 1e-10,
    }
)
"""Largest relative error of a correct port with both sides in float64, by check."""

FLOAT64_DEFAULT = 1e-11

ROUNDINGS: Mapping[str, int] = MappingProxyType({"input_grad": 32, "param_grad": 32, "second_order": 64})
"""Roundings granted on top of the reference's own error; 8 where nothing is listed."""

REFERENCE_FACTOR = 8.0
"""How many times the reference's own float error a correct model may show (measured: 0.5 to 2.5)."""

DEAD_SCALE = 1e-6
"""Below this share of its siblings' scale a tensor is cancellation noise, and is judged on the siblings' scale."""

HIDDEN: Mapping[str, float] = MappingProxyType({"float32": 2e-6, "float16": 1.6e-2, "bfloat16": 0.125})
"""By format, a float64 error under this, with a conversion to that format found, is a precision mode: 32 roundings."""

STABLE = 1e-3
"""A right formula whose float error on ordinary inputs is above this is computed too badly to be let pass."""

ILL_CONDITIONED = 16.0
"""How many times as far as roundings move the reference itself a right candidate may be from it."""

NUDGE = 8
"""Roundings by which inputs and weights are moved to see how far the reference moves."""

GROWTH = 1e3
"""How many roundings a right candidate's gradients may differ by, each growing as the reference's own ones do."""

BLOWN_UP = 1e12
"""Training whose parameters have grown by this is no training: what is left of it is overflow."""

VACUOUS = 1e-12
"""A gradient under this share of its siblings', or an output that varies by less, is evidence of nothing."""

ENOUGH_EXAMPLES = 10
"""Examples after which an override that was never needed is taken to be unnecessary."""

FAMILYWISE = 1e-6
"""Chance that right code fails any one of a family of statistical assertions."""

MODULE_BOUND = 1e-12
"""Largest relative error of one right module on the reference's own float64 input (measured: up to 2e-15)."""

TRIFLE = 1e-3
"""A module whose own error is under this share of another's is not what makes a comparison fail."""

NOISE = 1e-14
"""Relative error in float64 that needs no module to make it: two orders of summation."""

SAME_VALUES = 1e-9
"""Relative distance below which two float64 arrays hold the same values, for reading off how they are laid out."""

MOVED_SINES = 0.15
"""Relative distance from sines of a table of positions, whose values are moved by a tenth of their spread."""

EXPLAINED = 0.9
"""Share of an error that must vanish under a suspected mistake before the mistake is called its cause."""

FITTED = 0.999
"""The same where a number was searched for: what has a parameter explains some of anything."""

EXACT = 1e-6
"""Share of an error that may be left by an explanation that is exact but for rounding."""


@dataclass(frozen=True)
class Override:
    """A wider bound for one check of one pair. It shows in every report, and must still be needed.

    Attributes:
      check: the check it loosens.
      limit: the bound in its place, relative.
      reason: why the policy's bound cannot hold, in a sentence.
      expires: date after which the override is refused.
      only: restricts it to one leaf name, or None for all.
      precision: restricts it to runs in one format, or None for all.
    """

    check: str
    limit: float
    reason: str
    expires: datetime.date
    only: str | None = None
    precision: Precision | None = None

    def __post_init__(self) -> None:
        if len(self.reason.split()) < 4:
            raise UsageError(f"override of {self.check!r}: the reason {self.reason!r} is not a sentence")

    def __str__(self) -> str:
        where = "".join(f" of {part}" for part in (self.only, self.precision) if part)
        return f"override of {self.check}{where} to {self.limit:g} until {self.expires}: {self.reason}"

    def fits(self, check: str, name: str, precision: Precision) -> bool:
        """Whether this loosens the bound of a leaf.

        Raises:
          UsageError: it does, and has expired.
        """
        fits = self.check == check and self.only in (None, name) and self.precision in (None, precision)
        if fits and self.expires < datetime.datetime.now(tz=datetime.UTC).date():
            raise UsageError(f"override of {check!r} expired on {self.expires}: {self.reason}; renew or remove it")
        return fits


@dataclass(frozen=True)
class Bound:
    """The largest accepted relative error of one quantity, and where it comes from.

    Attributes:
      limit: relative to the tensor's scale.
      why: one phrase for the report.
      reference_error: the reference's own error that the limit grants a multiple of; 0 in float64.
      override: what the limit comes from, where the policy's own is not used.
      policy: the policy's own limit.
    """

    limit: float
    why: str
    reference_error: float = 0.0
    override: Override | None = None
    policy: float = 0.0

    def telling(self, precision: Precision) -> bool:
        """Whether the reference itself keeps half of the format's digits; where it does not, agreement says little."""
        return self.reference_error <= UNIT_ROUNDOFF[precision] ** 0.5

    def loosened(self, check: str, name: str, precision: Precision, overrides: tuple[Override, ...]) -> Bound:
        """The bound with the first override that fits."""
        override = next((o for o in overrides if o.fits(check, name, precision)), None)
        if override is None:
            return self
        return Bound(override.limit, f"override: {override.reason}", self.reference_error, override, self.limit)


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
    if precision == "float64":
        own = Bound(FLOAT64_BOUNDS.get(check, FLOAT64_DEFAULT), "float64 on both sides")
    else:
        roundings = ROUNDINGS.get(check, 8)
        limit = REFERENCE_FACTOR * reference_error + roundings * UNIT_ROUNDOFF[precision]
        own = Bound(limit, f"{REFERENCE_FACTOR:g} x the reference's own error + {roundings} roundings", reference_error)
    return own.loosened(check, name, precision, overrides)


def critical(assertions: int) -> float:
    """Standard deviations beyond which one of so many statistical assertions fails.

    Example:
      >>> round(critical(100), 1)
      5.7
    """
    return NormalDist().inv_cdf(1 - FAMILYWISE / (2 * max(assertions, 1)))
