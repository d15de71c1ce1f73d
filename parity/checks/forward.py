"""Outputs agree."""

from __future__ import annotations

from parity.checks.base import on_record
from parity.record import Arrays, Record


def outputs(record: Record) -> Arrays:
    """What the check compares."""
    return record.outputs


FORWARD = on_record(
    "forward", outputs, sees="wrong formulas, layouts, weights, iteration counts", needs_gradients=False
)
