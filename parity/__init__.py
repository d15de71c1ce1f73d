"""Numerical parity between PyTorch and JAX: the same inputs to both sides, and where and why they part.

`compare` compares two models on given inputs; a `Pair` declares the same comparison once, with Hypothesis strategies
in place of arrays, and `check` explores it. Nothing here imports torch or JAX before a model is run.
"""

from __future__ import annotations

from parity._errors import DivergenceError, ParityError, StructureMismatch, UsageError
from parity.checks import CHECKS
from parity.comparison import Comparison
from parity.harness import check, compare
from parity.layout import Layout
from parity.optimizers import Optimizers
from parity.pair import Pair
from parity.report import Cause, Divergence, Report, Result
from parity.strategies import Input, configs, counts, distinct, mask, positive, real, tokens, unit
from parity.suite import as_test, given
from parity.tolerance import Override
from parity.weights import perturb

__all__ = [
    "CHECKS",
    "Cause",
    "Comparison",
    "Divergence",
    "DivergenceError",
    "Input",
    "Layout",
    "Optimizers",
    "Override",
    "Pair",
    "ParityError",
    "Report",
    "Result",
    "StructureMismatch",
    "UsageError",
    "as_test",
    "check",
    "compare",
    "configs",
    "counts",
    "distinct",
    "given",
    "mask",
    "perturb",
    "positive",
    "real",
    "tokens",
    "unit",
]
