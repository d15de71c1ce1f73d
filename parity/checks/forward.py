"""Outputs agree."""

from __future__ import annotations

from parity.checks.base import on_record

FORWARD = on_record("forward", lambda record: record.outputs, sees="wrong formulas, layouts, weights, iteration counts")
