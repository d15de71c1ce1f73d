"""Gradients agree for a fixed random cotangent: by the inputs, and by the parameters through the weight mapping."""

from __future__ import annotations

from parity.checks.base import on_record
from parity.record import Arrays, Record


def input_grads(record: Record) -> Arrays:
    """What `input_grad` compares."""
    return record.input_grads


def param_grads(record: Record) -> Arrays:
    """What `param_grad` compares."""
    return record.param_grads


INPUT_GRAD = on_record("input_grad", input_grads, sees="derivative conventions, stopped or leaking gradients")

PARAM_GRAD = on_record(
    "param_grad", param_grads, sees="untied weights, wrong mapping, stopped or missing gradients", needs_plan=True
)
