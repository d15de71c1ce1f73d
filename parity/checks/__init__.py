"""The properties that are checked, one file each."""

from __future__ import annotations

from parity._errors import UsageError
from parity.checks.base import Check
from parity.checks.buffers import BUFFERS
from parity.checks.dtypes import DTYPES
from parity.checks.forward import FORWARD
from parity.checks.gradients import INPUT_GRAD, PARAM_GRAD
from parity.checks.initial import INITIAL
from parity.checks.loop import LOOP
from parity.checks.randomness import RANDOMNESS
from parity.checks.second_order import SECOND_ORDER
from parity.checks.sizes import SIZES
from parity.checks.special import SPECIAL
from parity.checks.trajectory import TRAJECTORY
from parity.checks.transforms import TRANSFORMS

__all__ = ["CHECKS", "Check", "chosen_by", "named"]

CHECKS: tuple[Check, ...] = (
    *(FORWARD, INPUT_GRAD, PARAM_GRAD, BUFFERS, LOOP, RANDOMNESS, INITIAL),
    *(SPECIAL, SIZES, DTYPES, SECOND_ORDER, TRAJECTORY, TRANSFORMS),
)


def named(names: tuple[str, ...] | str) -> tuple[Check, ...]:
    """The checks of these names, in the order in which a fault shows first.

    Raises:
      UsageError: a name that no check has, or one text, which would count as its letters.
    """
    if isinstance(names, str):
        raise UsageError(f"checks: expected a tuple of names, got {names!r}")
    unknown = [name for name in names if name not in {check.name for check in CHECKS}]
    if unknown:
        raise UsageError(
            f"no check called {', '.join(map(repr, unknown))}; there are {', '.join(c.name for c in CHECKS)}"
        )
    return tuple(check for check in CHECKS if check.name in names)


def chosen_by(text: str | None) -> tuple[str, ...] | None:
    """The names that a command line gives: `all`, or names with commas between; None for nothing chosen.

    Raises:
      UsageError: a name that no check has.

    Example:
      >>> chosen_by("forward, sizes")
      ('forward', 'sizes')
    """
    if text is None:
        return None
    if text == "all":
        return tuple(check.name for check in CHECKS)
    names = tuple(name.strip() for name in text.split(","))
    named(names)
    return names
