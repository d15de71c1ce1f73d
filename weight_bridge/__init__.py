"""Torch checkpoints into JAX models and back: plan first, prove what can be proved, refuse the rest, never lose a bit.

Neither torch nor JAX is imported here, nor by reading safetensors for a `structure.json`.
"""

from __future__ import annotations

from weight_bridge._errors import (
    CheckpointError,
    ConversionError,
    MappingError,
    PlanError,
    TargetError,
    UsageError,
    VerificationError,
    WeightBridgeError,
    WriteError,
)
from weight_bridge.bridge import convert, inspect, load, plan
from weight_bridge.mapping import Ignore, Leave, Mapping, Pairing, Rule
from weight_bridge.optimizer import convert_optimizer
from weight_bridge.plan import Ignored, Plan, Step, Unfilled
from weight_bridge.proving import Evidence, prove

__all__ = [
    "CheckpointError",
    "ConversionError",
    "Evidence",
    "Ignore",
    "Ignored",
    "Leave",
    "Mapping",
    "MappingError",
    "Pairing",
    "Plan",
    "PlanError",
    "Rule",
    "Step",
    "TargetError",
    "Unfilled",
    "UsageError",
    "VerificationError",
    "WeightBridgeError",
    "WriteError",
    "convert",
    "convert_optimizer",
    "inspect",
    "load",
    "plan",
    "prove",
]
