"""Hypothesis strategies: what both sides are fed."""

from __future__ import annotations

from parity.strategies.configs import configs, distinct
from parity.strategies.inputs import PROFILES, Input, counts, mask, positive, real, tokens, unit

__all__ = ["PROFILES", "Input", "configs", "counts", "distinct", "mask", "positive", "real", "tokens", "unit"]
