"""Gradients agree for a fixed random cotangent: by the inputs, and by the parameters through the weight mapping."""

from __future__ import annotations

from parity.checks.base import on_record

INPUT_GRAD = on_record(
    "input_grad",
    lambda record: record.input_grads,
    sees="derivative conventions, stopped or leaking gradients",
)

PARAM_GRAD = on_record(
    "param_grad",
    lambda record: record.param_grads,
    sees="untied weights, wrong mapping, stopped or missing gradients",
    needs_plan=True,
)
