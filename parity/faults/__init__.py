"""Known porting faults, made injectable: the proof that the checks catch, locate and name what they should.

A `Fault` is a small, named, reversible edit of a correct candidate. `run` injects each into every pair that it applies
to and scores the gate beside common practice.
"""

from __future__ import annotations

from parity.faults.edits import Edit, adding, around, both, deriving, reading, setting
from parity.faults.fault import Fault, at, family
from parity.faults.injection import faulty, injected
from parity.faults.score import Outcome, Score

__all__ = [
    "Edit",
    "Fault",
    "Outcome",
    "Score",
    "adding",
    "around",
    "at",
    "both",
    "deriving",
    "family",
    "faulty",
    "injected",
    "reading",
    "setting",
]
