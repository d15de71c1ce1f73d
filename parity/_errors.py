"""The exceptions of `parity`, one tree.

ParityError
├── ReferenceRefuses    the torch model itself raises on an example, so that there is nothing to compare
├── Stop                a failing trial ends an exploration; `parity.survey` raises and `parity.harness` catches it
├── UsageError          an argument, a pair or a command line is not usable; says which and what to do
├── StructureMismatch   the two sides differ in names, shapes or kinds before any number can be compared
└── DivergenceError     the numbers differ; also an AssertionError, and carries the report
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parity.report import Report


class ParityError(Exception):
    """Base of everything that `parity` raises on purpose."""


class ReferenceRefuses(ParityError):
    """The reference raises on an example: the claim is not about it."""


class UsageError(ParityError, ValueError):
    """An argument, a pair or a command line cannot be used as given."""


class StructureMismatch(ParityError):
    """The two sides differ in names, shapes or kinds, so that no number can be compared."""


class DivergenceError(ParityError, AssertionError):
    """The candidate diverges from the reference.

    Attributes:
      report: the `parity.Report` of the smallest example found.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report
