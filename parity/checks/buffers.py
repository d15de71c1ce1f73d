"""Buffers agree after a call in training mode, and stay put in evaluation mode."""

from __future__ import annotations

from parity.checks.base import on_record

BUFFERS = on_record(
    "buffers",
    lambda record: record.buffers,
    sees="momentum conventions, biased statistics, updates in the wrong mode",
    needs_plan=True,
)
